import { expect, test } from "vitest";
import { FenceSweep } from "../../src/locks/fence-sweep.ts";
import { restoreSystem, SnapshotLoader } from "../../src/system/snapshot-loader.ts";
import { guard } from "../raft/guard.ts";
import { wholeSnapshot } from "../system/traffic.ts";
import { Bench, acquire, downgrade, release, upgrade } from "../system/support.ts";

const swept = (bench: Bench): number | null => new FenceSweep(bench.state.lockState).step(1_000);

/** So many locks, each held under a fence of its own, the first under 1. */
function held(count: number): { readonly bench: Bench; readonly who: { readonly session: number; readonly owner: string } } {
  const bench = new Bench();
  const who = { session: bench.open(), owner: "a" };
  for (let at = 1; at <= count; at += 1) expect(bench.take(`l${at}`, "exclusive", who)).toBe(at);
  return { bench, who };
}

test("where nothing is held it is the fence that is given next", () => {
  const { bench, who } = held(3);
  for (let at = 1; at <= 3; at += 1) bench.ask(release(`l${at}`, at, who));
  expect(swept(bench)).toBe(4);
  expect(bench.take("l1", "exclusive", who)).toBe(4);
  expect(swept(bench)).toBe(4);
});

guard("fence-sweep-holds-unseen", "no live grant has a lower one", () => {
  const { bench, who } = held(5);
  expect(swept(bench)).toBe(1);
  bench.ask(release("l1", 1, who));
  bench.ask(release("l3", 3, who));
  expect(swept(bench)).toBe(2);
  // The oldest of several holders counts.
  bench.take("s", "shared", who);
  bench.take("s", "shared", { ...who, owner: "b" });
  for (const at of [2, 4, 5]) bench.ask(release(`l${at}`, at, who));
  expect(swept(bench)).toBe(6);
});

test("who waits is given a fence of its own, above all that there were", () => {
  const { bench, who } = held(2);
  bench.ask(release("l1", 1, who));
  const waiting = bench.wait(acquire("l2", "exclusive", { ...who, owner: "b" }, { waitMs: 1_000 }));
  bench.ask(release("l2", 2, who));
  expect(bench.answerOf(waiting)).toMatchObject({ type: "granted", fence: 3 });
  expect(swept(bench)).toBe(3);
});

test("a fence that a downgrade keeps is live, one that an upgrade has replaced is not", () => {
  const { bench, who } = held(1);
  bench.ask(downgrade("l1", 1, who, "shared"));
  expect(swept(bench)).toBe(1);
  bench.ask(upgrade("l1", 1, who, "exclusive"));
  expect(swept(bench)).toBe(2);
});

guard("fence-sweep-ends-with-latest", "a grant between two steps has no lower one, wherever it is met", () => {
  // Some of the names are passed already when they are taken.
  const { bench, who } = held(0);
  const sweep = new FenceSweep(bench.state.lockState);
  bench.take("first", "exclusive", who);
  for (let step = 0; step < 40; step += 1) {
    const found = sweep.step(1);
    if (found !== null) {
      expect(found).toBe(1);
      return;
    }
    bench.take(`later${step}`, "exclusive", who);
  }
  throw new Error("the sweep does not come to its end");
});

test("it comes to its end step by step, over what stays", () => {
  const { bench, who } = held(100);
  const sweep = new FenceSweep(bench.state.lockState);
  let steps = 1;
  for (; sweep.step(10) === null; steps += 1) {
    const fence = steps;
    bench.ask(release(`l${fence}`, fence, who));
  }
  expect(steps).toBeGreaterThan(5);
  expect(steps).toBeLessThan(20);
  const lowest = sweep.step(10);
  expect(lowest).toBeGreaterThan(0);
  expect(lowest).toBeLessThanOrEqual(steps);
});

guard(
  "fence-sweep-packed-unseen",
  "nor has one that nobody has asked for since it was read from a snapshot, or is asked for meanwhile",
  () => {
    const { bench } = held(20);
    const restored = restoreSystem(wholeSnapshot(bench.state));
    expect(restored.lockState.packed.size).toBe(20);
    expect(new FenceSweep(restored.lockState).step(1_000)).toBe(1);
    for (const asked of [1, 10, 20]) {
      const again = restoreSystem(wholeSnapshot(bench.state));
      const sweep = new FenceSweep(again.lockState);
      for (let step = 0; step < 60; step += 1) {
        if (step === asked) for (let at = 1; at <= 20; at += 1) again.lock(`l${at}`);
        const found = sweep.step(1);
        if (found === null) continue;
        expect(found).toBe(1);
        break;
      }
      expect(again.lockState.packed.size).toBe(0);
    }
  },
);

test("a state of before gives no higher one than the newest", () => {
  const { bench, who } = held(3);
  const loader = new SnapshotLoader();
  const cursor = bench.state.beginSnapshot();
  for (let chunk = cursor.next(10_000); chunk !== null; chunk = cursor.next(10_000)) loader.push(chunk);
  const former = loader.finish();
  for (let at = 1; at <= 3; at += 1) bench.ask(release(`l${at}`, at, who));
  expect(new FenceSweep(former.lockState).step(1_000)).toBe(1);
  expect(swept(bench)).toBe(4);
});
