import { describe, expect, it } from "vitest";
import { Background } from "../../src/driver/background.ts";
import { closedLoop } from "../../src/driver/closed-loop.ts";
import { fill, heldName } from "../../src/driver/fill.ts";
import { handOff } from "../../src/driver/hand-off.ts";
import { Histogram } from "../../src/driver/histogram.ts";
import type { Granted, HolderClient, LockClient } from "../../src/driver/lock-client.ts";
import { openLoop } from "../../src/driver/open-loop.ts";
import { probe } from "../../src/driver/probe.ts";
import { FakeService } from "../fake-service.ts";

describe("the closed loop", () => {
  it("pairs every acquire with a release and leaves nothing held", async () => {
    const service = new FakeService();
    const result = await closedLoop(service, { callers: 8, durationMs: 100, prefix: "t" });
    expect(result.pairs).toBeGreaterThan(0);
    expect(result.errors).toBe(0);
    expect(service.held.size).toBe(0);
    expect(service.acquires).toBe(service.releases);
    expect(result.per_second.reduce((sum, count) => sum + count, 0)).toBe(result.pairs);
    expect(Histogram.from(result.release).count).toBe(result.pairs);
  });

  it("counts an error, says what it was, and goes on under another name", async () => {
    class Failing extends FakeService {
      readonly names = new Set<string>();
      override acquire(caller: number, name: string, waitMs: number, done: Granted): void {
        this.names.add(name);
        if (this.acquires === 3) {
          this.acquires++;
          setImmediate(() => done(new Error("no leader"), null));
        } else {
          super.acquire(caller, name, waitMs, done);
        }
      }
    }
    const service = new Failing();
    const result = await closedLoop(service, { callers: 1, durationMs: 50, prefix: "t" });
    expect(result).toMatchObject({ errors: 1, first_error: "no leader" });
    expect(service.names).toEqual(new Set(["t/0", "t/0/1"]));
  });

  it("counts a stall that lasts to the end as a gap", async () => {
    class Stalling extends FakeService {
      override acquire(caller: number, name: string, waitMs: number, done: Granted): void {
        if (this.acquires < 5) super.acquire(caller, name, waitMs, done);
        else setTimeout(() => super.acquire(caller, name, waitMs, done), 600);
      }
    }
    const result = await closedLoop(new Stalling(), { callers: 1, durationMs: 400, prefix: "t" });
    expect(result.longest_gap_ms).toBeGreaterThan(100);
  });
});

describe("the open loop", () => {
  it("sends what is due whether or not answers come, and counts each answer from its due time", async () => {
    // Nothing is answered for 150 ms: a closed loop would see one slow request, an open one all that should have been sent meanwhile.
    class Stalled extends FakeService {
      openAt: number | null = null;
      override acquire(caller: number, name: string, waitMs: number, done: Granted): void {
        this.openAt ??= performance.now() + 150;
        const rest = this.openAt - performance.now();
        if (rest > 0) setTimeout(() => super.acquire(caller, name, waitMs, done), rest);
        else super.acquire(caller, name, waitMs, done);
      }
    }
    const service = new Stalled();
    const result = await openLoop(service, { rate: 500, durationMs: 100, callers: 4, prefix: "t" });
    expect(result).toMatchObject({ offered: 50, completed: 50, errors: 0 });
    const waited = Histogram.from(result.acquire);
    expect(waited.count).toBe(50);
    // Request k was due 2k ms after the first and answered no sooner than the stall ended.
    expect(waited.summary().p50_ms).toBeGreaterThan(95);
    // More arrivals than callers had to queue, and their time in the queue counts.
    expect(result.max_backlog).toBeGreaterThan(0);
    expect(service.held.size).toBe(0);
  });
});

describe("the contended hand-off", () => {
  it("measures every grant to another caller and how long all stood in line", async () => {
    const service = new FakeService();
    const result = await handOff(service, { callers: 4, durationMs: 100, name: "one" });
    expect(result.hand_offs).toBeGreaterThan(0);
    expect(result.own_again).toBe(0);
    expect(result.errors).toBe(0);
    expect(Histogram.from(result.wait).count).toBe(result.hand_offs + 1);
    expect(service.held.size).toBe(0);
  });

  it("does not take a grant to the releaser itself for a hand-off", async () => {
    const result = await handOff(new FakeService(), { callers: 1, durationMs: 50, name: "one" });
    expect(result.hand_offs).toBe(0);
    expect(result.own_again).toBeGreaterThan(0);
  });
});

describe("the probe of a fail-over", () => {
  it("tries until it is granted and counts its attempts", async () => {
    class Leaderless extends FakeService {
      override acquire(caller: number, name: string, waitMs: number, done: Granted): void {
        if (this.acquires < 3) {
          this.acquires++;
          setImmediate(() => done(new Error("no leader"), null));
        } else {
          super.acquire(caller, name, waitMs, done);
        }
      }
    }
    const service = new Leaderless();
    expect(await probe(service, { caller: 0, timeoutMs: 5000 })).toMatchObject({ attempts: 4 });
    expect(service.held.size).toBe(0);
  });

  it("fails with the last error when nobody ever grants", async () => {
    class Dead extends FakeService {
      override acquire(_caller: number, _name: string, _waitMs: number, done: Granted): void {
        setImmediate(() => done(new Error("no quorum"), null));
      }
    }
    await expect(probe(new Dead(), { caller: 0, timeoutMs: 50 })).rejects.toThrow("no quorum");
  });
});

describe("the background load", () => {
  it("ends with everything released", async () => {
    const service = new FakeService();
    const background = new Background(service, "t");
    background.start(3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { pairs, errors } = await background.stop();
    expect(pairs).toBeGreaterThan(0);
    expect(errors).toBe(0);
    expect(service.held.size).toBe(0);
  });
});

function holding(service: FakeService): LockClient {
  const holders: HolderClient = {
    open: () => Promise.resolve(),
    hold: (session, name, done) => {
      service.acquire(session, name, 0, done);
    },
    isFree: (name) => Promise.resolve(!service.held.has(name)),
  };
  return Object.assign(Object.create(service) as LockClient, { holders });
}

describe("filling with held locks", () => {
  it("holds every lock of every session under its own name", async () => {
    const service = new FakeService();
    const options = { sessions: 5, locksPerSession: 20, ttlMs: 1000, inFlight: 8, prefix: "held" };
    expect(await fill(holding(service), options)).toMatchObject({ held: 100, errors: 0 });
    expect(service.held.size).toBe(100);
    expect(service.held.get(heldName("held", 4, 19))).toBe(4);
  });

  it("says how many were refused", async () => {
    const service = new FakeService();
    service.held.set(heldName("held", 1, 1), 99);
    const options = { sessions: 2, locksPerSession: 2, ttlMs: 1000, inFlight: 4, prefix: "held" };
    expect(await fill(holding(service), options)).toMatchObject({ held: 3, errors: 1 });
  });
});
