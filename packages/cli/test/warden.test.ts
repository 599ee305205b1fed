import { describe, expect, it } from "vitest";
import { Warden, type LossPolicy } from "../src/locking/warden.ts";

const settings = { graceMs: 3_000, marginMs: 1_000 };

/** A lease of ten seconds, a clock that only this test moves, and what the command was sent when. */
class World {
  now = 0;
  readonly sent: string[] = [];
  readonly told: string[] = [];
  private until = 10_000;
  private timers: { readonly at: number; readonly run: () => void }[] = [];
  private listener: ((reason: string) => void) | null = null;
  readonly warden: Warden;

  constructor(policy: LossPolicy) {
    this.warden = new Warden(
      {
        remainingMs: () => Math.max(0, this.until - this.now),
        onEnd: (listener) => {
          this.listener = listener;
          return () => (this.listener = null);
        },
      },
      { policy, ...settings },
      {
        signal: (signal) => this.sent.push(`${signal} at ${this.now}`),
        told: (reason, isOver) => this.told.push(`${isOver ? "lost" : "in danger"}: ${reason}`),
      },
      {
        now: () => this.now,
        after: (ms, run) => {
          const timer = { at: this.now + ms, run };
          this.timers.push(timer);
          return () => (this.timers = this.timers.filter((other) => other !== timer));
        },
      },
    );
    this.warden.begin();
  }

  renew(): void {
    this.until = this.now + 10_000;
  }
  end(reason: string): void {
    this.until = this.now;
    this.listener?.(reason);
  }
  /** `stalled` = nothing runs before its end, as in a process that was stopped. */
  pass(ms: number, stalled = false): void {
    const end = this.now + ms;
    if (stalled) this.now = end;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }
}

describe("the warden of a command that runs under a lock", () => {
  it("does nothing while keepalives are acknowledged, for however long", () => {
    const world = new World("kill");
    for (let times = 0; times < 100; times++) {
      world.pass(2_500);
      world.renew();
    }
    expect(world.sent).toEqual([]);
    expect(world.warden.loss).toBeNull();
  });

  it("sends SIGTERM when grace and margin are left of the lease, and SIGKILL when the margin is: nothing runs when the lease is over", () => {
    const world = new World("kill");
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 6000", "SIGKILL at 9000"]);
    expect(world.warden.loss).toMatch(/no keepalive was acknowledged/);
  });

  it("counts from the last renewal", () => {
    const world = new World("kill");
    world.pass(5_900);
    world.renew();
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 11900", "SIGKILL at 14900"]);
  });

  it("lets a command that was told to end take its time when the cluster answers after all", () => {
    const world = new World("kill");
    world.pass(8_000);
    expect(world.sent).toEqual(["SIGTERM at 6000"]);
    world.renew();
    world.pass(5_000);
    expect(world.sent).toEqual(["SIGTERM at 6000"]);
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 6000", "SIGKILL at 17000"]);
  });

  it("a lock that was taken away: SIGTERM at once, SIGKILL after the grace time", () => {
    const world = new World("kill");
    world.pass(1_000);
    world.warden.lost("taken away");
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 1000", "SIGKILL at 4000"]);
    expect(world.told).toEqual(["lost: taken away"]);
  });

  it("a session that the cluster ended counts as taken away, and is told once", () => {
    const world = new World("kill");
    world.pass(1_000);
    world.end("it was closed");
    world.warden.lost("taken away");
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 1000", "SIGKILL at 4000"]);
    expect(world.told).toEqual(["lost: it was closed"]);
  });

  it("never grants more than what is certain of the lease, whatever the grace time", () => {
    const world = new World("kill");
    world.pass(6_000);
    world.end("it expired");
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 6000", "SIGKILL at 9000"]);
  });

  it.each(["timers first", "end first"])("a process that was stopped for longer than the lease kills at once (%s)", (order) => {
    const world = new World("kill");
    if (order === "end first") {
      world.now = 60_000;
      world.end("no keepalive was acknowledged within its time to live");
    } else world.pass(60_000, true);
    expect(world.sent.at(-1)).toBe("SIGKILL at 60000");
  });

  it("with `term` SIGTERM is all, with `continue` nothing is", () => {
    const gentle = new World("term");
    gentle.pass(10_000);
    gentle.end("over");
    gentle.pass(20_000);
    expect(gentle.sent).toEqual(["SIGTERM at 6000"]);
    const blind = new World("continue");
    blind.pass(10_000);
    blind.end("over");
    blind.pass(20_000);
    expect(blind.sent).toEqual([]);
    expect(blind.told).toEqual(["lost: over"]);
    expect(blind.warden.loss).toBe("over");
  });

  it("has nothing more to say about a command that has ended", () => {
    const world = new World("kill");
    world.pass(7_000);
    world.warden.stop();
    world.end("over");
    world.pass(20_000);
    expect(world.sent).toEqual(["SIGTERM at 6000"]);
  });
});
