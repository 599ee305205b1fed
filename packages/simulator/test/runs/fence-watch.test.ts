import { type ShardAnswer, SystemState } from "@trivet/core";
import type { Command, ShardCommand } from "@trivet/wire";
import { describe, expect, test } from "vitest";

import { FenceWatch } from "../../src/watch/fence-watch.ts";

const actor = { session: 0, principal: "p", owner: "a" };
const nobody = { answer: (): void => {}, changed: (): void => {} };
const produced: ShardAnswer = { type: "produced", partition: 0, messages: [] };
const counted: ShardAnswer = { type: "counted", count: 1 };

/** A group 0, what a shard's log says beside it, and what is found wrong with that. */
class Watched {
  readonly state = new SystemState();
  readonly found: string[] = [];
  private readonly watch = new FenceWatch(1, this.state, (invariant) => void this.found.push(invariant));
  private index = 0;

  do(command: Command): void {
    this.state.applyCommand(command, "", 0, nobody);
  }

  take(name: string): number {
    const keys = [{ name, mode: "exclusive", of: 0 }] as const;
    this.do({ type: "acquire", actor, keys, ttlMs: 1_000, waitMs: 0, reentrant: false, anonymous: false });
    return this.state.lastFence;
  }

  release(name: string, fence: number): void {
    this.do({ type: "release", actor, name, fence, anonymous: false });
  }

  judge(command: ShardCommand, answer: ShardAnswer): void {
    this.index += 1;
    this.watch.judge(command, answer, this.index);
  }

  produce(lock: string, fence: number, answer = produced): void {
    this.judge({ type: "produce", queue: 1, partition: 0, version: 1, messages: [], ifFence: { lock, fence } }, answer);
  }
}

describe("the watch over fences (K5)", () => {
  test("finds nothing where holders follow one another", () => {
    const w = new Watched();
    const first = w.take("l");
    w.produce("l", first);
    w.release("l", first);
    w.judge({ type: "fence-floor", fence: first + 1 }, counted);
    const second = w.take("l");
    w.judge({ type: "raise-fence", lock: "l", fence: second }, counted);
    w.produce("l", first, { type: "fence-behind", lock: "l", highest: second });
    w.produce("l", second);
    w.produce("l", second, { type: "queue-full", limit: "messages", max: 1 });
    expect(w.found).toEqual([]);
  });

  test("finds a write that was accepted after one under a higher fence", () => {
    const w = new Watched();
    w.produce("l", 5);
    w.produce("other", 4);
    expect(w.found).toEqual([]);
    w.produce("l", 4);
    expect(w.found).toEqual(["fence-behind-accepted"]);
  });

  test("finds a live holder that was refused", () => {
    const w = new Watched();
    const fence = w.take("l");
    w.produce("l", fence, { type: "fence-behind", lock: "l", highest: fence + 1 });
    expect(w.found).toEqual(["fence-live-refused"]);
  });

  test("finds a floor above a live fence, and above the next one", () => {
    const w = new Watched();
    w.judge({ type: "fence-floor", fence: 2 }, counted);
    expect(w.found.splice(0)).toEqual(["fence-floor-above-live"]);
    const fence = w.take("l");
    w.take("m");
    w.judge({ type: "fence-floor", fence }, counted);
    expect(w.found).toEqual([]);
    w.judge({ type: "fence-floor", fence: fence + 1 }, counted);
    expect(w.found).toEqual(["fence-floor-above-live"]);
  });
});
