import { describeSystem, type SystemState } from "@trivet/core";
import { expect } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench, acquire, release } from "../system/support.ts";
import { cut, recut, Traffic, wholeSnapshot } from "../system/traffic.ts";

const lockCount = 60;
const nameOf = (lock: number): string => `orders/${String(lock).padStart(4, "0")}`;

export interface Held {
  readonly bench: Bench;
  readonly state: SystemState;
  readonly session: number;
  readonly other: number;
}

/** A node that has started again: session `session` holds locks, which all are packed; `other` holds none. */
export function restoredHolds(count = lockCount): Held {
  const bench = new Bench();
  bench.checked = false;
  const session = bench.open();
  const other = bench.open();
  for (let lock = 0; lock < count; lock++) bench.take(nameOf(lock), "exclusive", { session, owner: "a" });
  const state = restoreSystem(wholeSnapshot(bench.state));
  expect(state.lockState.packed.size).toBe(count);
  checkSystem(state);
  return { bench, state, session, other };
}

/** No name that was held is free, and each is released by its fence. */
export function heldAreNotFree(): void {
  const { bench, state, session, other } = restoredHolds();
  for (let lock = 0; lock < lockCount; lock++) {
    const asked = acquire(nameOf(lock), "exclusive", { session: other, owner: "b" });
    expect(state.applyCommand(asked, "", 0, nobody)).toEqual(bench.state.applyCommand(asked, "", 0, nobody));
    expect(state.lockState.packed.size).toBe(lockCount - lock - 1);
    checkSystem(state);
  }
  const released = release(nameOf(3), 4, { session, owner: "a" });
  expect(state.applyCommand(released, "", 0, nobody)).toMatchObject({ type: "released", fence: 4 });
  expect(bench.state.applyCommand(released, "", 0, nobody)).toMatchObject({ type: "released", fence: 4 });
  expect(describeSystem(state)).toEqual(describeSystem(bench.state));
}

/** What a session holds is free when it ends, asked for or not; others' are not. */
export function endedSessionsHoldNothing(): void {
  const { bench, session, other } = restoredHolds();
  for (let lock = 0; lock < 5; lock++) bench.take(`other/${lock}`, "shared", { session: other, owner: "b" });
  const state = restoreSystem(wholeSnapshot(bench.state));
  state.lock(nameOf(7));
  for (const each of [state, bench.state]) each.applyCommand({ type: "expire", kind: "session", id: session }, "", 0, nobody);
  checkSystem(state);
  expect(state.lockCount()).toBe(5);
  expect(state.lockState.packed.size).toBe(5);
  expect(describeSystem(state)).toEqual(describeSystem(bench.state));
  expect(state.stateHash()).toBe(bench.state.stateHash());
}

/** A snapshot of what came from a snapshot shows the state at its begin, whatever is asked for, changed and ended meanwhile. */
export function snapshotsOfPackedAreCuts(): void {
  let packed = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const names = Array.from({ length: 40 }, (_, name) => (name % 13 === 0 ? `é/${name}` : nameOf(name)));
    const traffic = new Traffic(3000 + seed, names);
    const { random } = traffic;
    const first = restoredHolds(0).state;
    let index = first.appliedIndex;
    const apply = (state: SystemState): void => state.applyEntry(traffic.entry(state), ++index, nobody);
    for (let step = random.between(50, 250); step > 0; step--) apply(first);
    const state = restoreSystem(recut(wholeSnapshot(first), random));
    expect(describeSystem(state)).toEqual(describeSystem(first));
    for (let step = random.chance(0.5) ? random.below(5) : 0; step > 0; step--) apply(state);
    checkSystem(state);
    packed += state.lockState.packed.size;
    const atBegin = describeSystem(state);
    const hashAtBegin = state.stateHash();
    const chunks = cut(state.beginSnapshot(), random, () => apply(state));
    const restored = restoreSystem(recut(chunks, random));
    expect(describeSystem(restored)).toEqual(atBegin);
    expect(restored.stateHash()).toBe(hashAtBegin);
    checkSystem(restored);
    checkSystem(state);
  }
  expect(packed).toBeGreaterThan(0);
}
