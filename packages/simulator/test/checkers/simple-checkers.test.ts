import { Prng } from "@trivet/core";
import type { FencedGrant, HoldInterval, QueuedRequest, RegisterInput, RegisterOutput, WitnessedOperation } from "@trivet/simulator";
import {
  checkExactlyOnce,
  checkFencing,
  checkFifo,
  checkLiveness,
  checkMutualExclusion,
  checkWitness,
  FencedRegister,
  registerModel,
} from "@trivet/simulator";
import { describe, expect, it } from "vitest";

import { registerHistory } from "./generate.ts";

const excludes = (a: HoldInterval, b: HoldInterval): boolean =>
  a.mode === "exclusive" || b.mode === "exclusive" || (a.mode === "update" && b.mode === "update");
const endOf = (h: HoldInterval): number => h.until ?? Infinity;
const grant = (fence: number, call: number, ret: number): FencedGrant => ({ name: "l", fence, call, ret });
const inLine = (id: string, enqueuedAt: number, grantedAt: number | null, more: Partial<QueuedRequest> = {}): QueuedRequest => ({
  name: "l",
  id,
  mode: "exclusive",
  upgrade: false,
  enqueuedAt,
  grantedAt,
  endedAt: null,
  ...more,
});
const fate = (request: string, kind: "applied" | "refused" | "unknown", promised: readonly string[] = []) => ({
  request,
  fate: kind,
  promised,
});
/** The register specification as a registerReplay. */
const registerReplay = () => {
  const model = registerModel();
  let state = model.initial;
  return {
    apply(input: RegisterInput, output: RegisterOutput | null): string | null {
      const next = model.step(state, input, output)[0];
      if (next === undefined) return `the register was "${state}"`;
      state = next;
      return null;
    },
  };
};
const witnessed = (seed: number): WitnessedOperation<RegisterInput, RegisterOutput>[] =>
  registerHistory(seed, { operations: 400, clients: 8, unknown: 0 }).map((operation, i) => ({
    ...operation,
    position: { index: i + 1, offset: 0 },
  }));
const openWait = (call: number, ret: number | null, allowedMs = 100) => ({ id: "w", call, ret, allowedMs });

const hold = (fence: number, from: number, until: number | null, mode: HoldInterval["mode"] = "exclusive", name = "l"): HoldInterval => ({
  name,
  owner: `o${fence}`,
  mode,
  of: mode === "permit" ? 2 : 0,
  fence,
  from,
  until,
});

/** Random holds of one name that never conflict; widening any exclusive one into its neighbour makes a conflict. */
function exclusiveChain(seed: number, count: number): HoldInterval[] {
  const prng = new Prng(seed);
  let at = 0;
  return Array.from({ length: count }, (_, i) => {
    const from = at + prng.below(5);
    at = from + 1 + prng.below(9);
    return hold(i + 1, from, at);
  });
}

/** O(n²) statement of the same property. */
function conflict(holds: readonly HoldInterval[]): boolean {
  return holds.some((a, i) => holds.some((b, j) => i < j && excludes(a, b) && Math.max(a.from, b.from) < Math.min(endOf(a), endOf(b))));
}

describe("mutual exclusion", () => {
  it("accepts readers together and refuses a writer among them", () => {
    expect(checkMutualExclusion([hold(1, 0, 9, "shared"), hold(2, 3, 5, "shared"), hold(3, 4, 6, "update")])).toBeNull();
    expect(checkMutualExclusion([hold(1, 0, 9, "shared"), hold(2, 3, 5)])).toMatchObject({ invariant: "mutual-exclusion" });
    expect(checkMutualExclusion([hold(1, 0, 9, "update"), hold(2, 3, 5, "update")])).toMatchObject({ invariant: "mutual-exclusion" });
  });
  it("keeps names apart and allows one to begin where another ends", () => {
    expect(checkMutualExclusion([hold(1, 0, 5), hold(2, 5, 6), hold(3, 0, 9, "exclusive", "other")])).toBeNull();
  });
  it("remembers a holder that never let go", () => {
    expect(checkMutualExclusion([hold(1, 0, null), hold(2, 100, 101)])).toMatchObject({ invariant: "mutual-exclusion" });
  });
  it("finds a long hold behind many short ones", () => {
    expect(
      checkMutualExclusion([hold(1, 0, 100, "shared"), hold(2, 1, 2, "shared"), hold(3, 3, 4, "shared"), hold(4, 50, 51)]),
    ).not.toBeNull();
  });
  it("counts permits out at one time", () => {
    expect(checkMutualExclusion([hold(1, 0, 9, "permit"), hold(2, 1, 9, "permit"), hold(3, 9, 10, "permit")])).toBeNull();
    expect(checkMutualExclusion([hold(1, 0, 9, "permit"), hold(2, 1, 9, "permit"), hold(3, 8, 10, "permit")])).toMatchObject({
      invariant: "semaphore-limit",
    });
  });
  it("agrees with comparing every pair, on random holds", () => {
    let conflicts = 0;
    for (let seed = 1; seed <= 2000; seed += 1) {
      const prng = new Prng(seed);
      const holds = Array.from({ length: 6 }, (_, i) => {
        const from = prng.below(40);
        return hold(i + 1, from, prng.chance(0.1) ? null : from + prng.below(8), prng.pick(["shared", "update", "exclusive"]));
      }).filter((h) => h.until !== h.from);
      const expected = conflict(holds);
      if (expected) conflicts += 1;
      expect(checkMutualExclusion(holds) !== null, `seed ${seed}`).toBe(expected);
    }
    expect(conflicts).toBeGreaterThan(200);
  });
  it("refuses a valid chain with one release moved past the next grant", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const chain = exclusiveChain(seed, 200);
      expect(checkMutualExclusion(chain)).toBeNull();
      const victim = new Prng(seed).below(199);
      const next = chain[victim + 1] as HoldInterval;
      expect(checkMutualExclusion(chain.map((h, i) => (i === victim ? { ...h, until: next.from + 0.5 } : h)))).not.toBeNull();
    }
  });
});

describe("fencing", () => {
  it("accepts any order among concurrent grants and refuses a fall in real time", () => {
    expect(checkFencing([grant(2, 0, 10), grant(1, 5, 12), grant(3, 13, 14)])).toBeNull();
    expect(checkFencing([grant(2, 0, 10), grant(1, 11, 12)])).toMatchObject({ invariant: "fence-order" });
  });
  it("refuses one fence twice, also under two names", () => {
    expect(checkFencing([grant(2, 0, 10), { ...grant(2, 0, 10), name: "m" }])).toMatchObject({ invariant: "fence-unique" });
  });
  it("refuses a long valid run with two far-apart fences swapped", () => {
    const run = Array.from({ length: 500 }, (_, i) => grant(i + 1, i * 10, i * 10 + 15));
    expect(checkFencing(run)).toBeNull();
    const swapped = run.map((g, i) => (i === 100 ? { ...g, fence: 401 } : i === 400 ? { ...g, fence: 101 } : g));
    expect(checkFencing(swapped)).toMatchObject({ invariant: "fence-order" });
  });
  it("guards a resource that compares fences; one that does not loses an update", () => {
    const register = new FencedRegister();
    expect([register.write(1, "old holder"), register.write(2, "new holder"), register.write(1, "late write")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(register.value).toBe("new holder");
  });
});

describe("fifo", () => {
  it("refuses a grant before an earlier request still in line", () => {
    expect(checkFifo([inLine("a", 1, 10), inLine("b", 2, 11)])).toBeNull();
    expect(checkFifo([inLine("a", 1, 11), inLine("b", 2, 10)])).toMatchObject({ invariant: "fifo" });
    expect(checkFifo([inLine("a", 1, null), inLine("b", 2, 10)])).toMatchObject({ invariant: "fifo" });
  });
  it("forgets requests that left the line", () => {
    expect(checkFifo([inLine("a", 1, null, { endedAt: 9 }), inLine("b", 2, 10)])).toBeNull();
    expect(checkFifo([inLine("a", 1, null, { endedAt: 12 }), inLine("b", 2, 10)])).toMatchObject({ invariant: "fifo" });
  });
  it("grants readers together, but no reader past a waiting writer", () => {
    const shared = { mode: "shared" } as const;
    expect(checkFifo([inLine("a", 1, 5, shared), inLine("b", 2, 5, shared)])).toBeNull();
    expect(checkFifo([inLine("writer", 1, 9), inLine("reader", 2, 5, shared)])).toMatchObject({ invariant: "fifo" });
  });
  it("lets an upgrader go first", () => {
    expect(checkFifo([inLine("a", 1, 9), inLine("up", 2, 5, { upgrade: true })])).toBeNull();
  });
  it("refuses a long fair line with two grants swapped", () => {
    const line = Array.from({ length: 200 }, (_, i) => inLine(`w${i}`, i, 1000 + i));
    expect(checkFifo(line)).toBeNull();
    expect(checkFifo(line.map((w, i) => (i === 50 ? { ...w, grantedAt: 1051 } : i === 51 ? { ...w, grantedAt: 1050 } : w)))).not.toBeNull();
  });
});

describe("exactly once", () => {
  it("refuses a second effect, a phantom, an effect of a refused request and a lost promise", () => {
    const effect = { request: "c/1", effect: "grant:l", at: 5 };
    expect(checkExactlyOnce([effect], [fate("c/1", "applied", ["grant:l"])])).toBeNull();
    expect(checkExactlyOnce([effect], [fate("c/1", "unknown")])).toBeNull();
    expect(checkExactlyOnce([], [fate("c/1", "unknown")])).toBeNull();
    expect(checkExactlyOnce([effect, { ...effect, at: 9 }], [fate("c/1", "applied")])).toMatchObject({ invariant: "exactly-once" });
    expect(checkExactlyOnce([effect], [])).toMatchObject({ invariant: "no-phantom" });
    expect(checkExactlyOnce([effect], [fate("c/1", "refused")])).toMatchObject({ invariant: "refused-has-no-effect" });
    expect(checkExactlyOnce([], [fate("c/1", "applied", ["grant:l"])])).toMatchObject({ invariant: "durability" });
  });
});

describe("witness", () => {
  it("accepts valid histories", () => {
    for (let seed = 1; seed <= 30; seed += 1) expect(checkWitness(witnessed(seed), registerReplay()), `seed ${seed}`).toBeNull();
  });
  it("refuses a changed answer", () => {
    const broken = witnessed(3).map((operation, i) =>
      i === 200 ? { ...operation, input: { type: "read", key: "k" } as const, output: { value: "never", applied: true } } : operation,
    );
    expect(checkWitness(broken, registerReplay())).toMatchObject({ invariant: "witness-replay" });
  });
  it("refuses two operations at one position and an answer without a position", () => {
    const valid = witnessed(4);
    const twice = valid.map((operation, i) => (i === 9 ? { ...operation, position: { index: 9, offset: 0 } } : operation));
    expect(checkWitness(twice, registerReplay())).toMatchObject({ invariant: "witness-position" });
    const nowhere = valid.map((operation, i) => (i === valid.length - 1 ? { ...operation, position: null } : operation));
    expect(checkWitness(nowhere, registerReplay())).toMatchObject({ invariant: "witness-position" });
  });
  it("refuses an answer given before an operation with a lower position was invoked", () => {
    const valid = witnessed(5);
    const late = valid.map((operation, i) => (i === 100 ? { ...operation, call: 1e6, ret: 1e6 + 1 } : operation));
    expect(checkWitness(late, registerReplay())).toMatchObject({ invariant: "witness-real-time" });
  });
});

describe("liveness", () => {
  it("counts from the heal or the call, whichever is later", () => {
    expect(checkLiveness([openWait(0, 1140)], 1000, 9000, 50)).toBeNull();
    expect(checkLiveness([openWait(0, 1151)], 1000, 9000, 50)).toMatchObject({ invariant: "liveness" });
    expect(checkLiveness([openWait(2000, 2149)], 1000, 9000, 50)).toBeNull();
    expect(checkLiveness([openWait(2000, null)], 1000, 9000, 50)).toMatchObject({ invariant: "liveness" });
    expect(checkLiveness([openWait(8900, null)], 1000, 9000, 50)).toBeNull();
  });
});
