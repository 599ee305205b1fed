import { describeSystem, type SystemEvent, type SystemState } from "@trivet/core";
import type { Command } from "@trivet/wire";
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

interface Ending {
  readonly how: Command;
  readonly state: SystemState;
  /** Has been there all the time. */
  readonly bench: Bench;
}

/** Session 1 of a node that has started again is to end: of what it holds, by fences in turns, some is packed and some is not. */
function endingOf(lockDelayMs: number, endOf: (session: number) => Command): Ending {
  const bench = new Bench();
  bench.checked = false;
  const [session, other] = [bench.open(lockDelayMs), bench.open()];
  for (let lock = 0; lock < lockCount; lock++) {
    // Backwards, so that a record that comes first has not the lowest fence.
    bench.take(lock % 7 === 0 ? `é/${lock}` : nameOf(lockCount - lock), "exclusive", { session, owner: lock % 5 === 0 ? "ö" : "a" });
    if (lock % 12 === 0) bench.take(`other/${lock}`, "shared", { session: other, owner: "b" });
  }
  const state = restoreSystem(wholeSnapshot(bench.state));
  for (let lock = 40; lock > 0; lock -= 3) state.lock(nameOf(lock));
  const { size } = state.lockState.packed;
  expect([size > 20, size < 45]).toEqual([true, true]);
  return { how: endOf(session), state, bench };
}

function eventsOf(state: SystemState, command: Command): SystemEvent[] {
  const events: SystemEvent[] = [];
  state.applyCommand(command, "", 0, { answer: () => undefined, changed: (event) => void events.push(event) });
  return events;
}

/** How often a packed hold is made an object while `run` runs. */
export function unpackedDuring({ lockState: { packed } }: SystemState, run: () => void): number {
  const unpack = packed.unpack.bind(packed);
  let unpacked = 0;
  packed.unpack = (id) => {
    unpacked++;
    return unpack(id);
  };
  run();
  packed.unpack = unpack;
  return unpacked;
}

const expiry = (session: number): Command => ({ type: "expire", kind: "session", id: session });
const closing = (session: number): Command => ({ type: "close-session", session });

/** What a session holds is free when it ends, in the order of its fences, asked for or not; others' are not. No object is made to be taken down. */
export function endedSessionsHoldNothing(): void {
  for (const [lockDelayMs, endOf, makesObjects] of [
    [0, expiry, false],
    [0, closing, false],
    [500, closing, false],
    [500, expiry, true],
  ] as const) {
    const { how, state, bench } = endingOf(lockDelayMs, endOf);
    const unpacked = unpackedDuring(state, () => expect(eventsOf(state, how)).toEqual(eventsOf(bench.state, how)));
    expect(unpacked > 0).toBe(makesObjects);
    checkSystem(state);
    expect(state.lockState.holdCount).toBe(5);
    expect(state.lockState.packed.size).toBe(5);
    expect(describeSystem(state)).toEqual(describeSystem(bench.state));
    expect(state.stateHash()).toBe(bench.state.stateHash());
  }
}

/** A snapshot that was begun before a session ends has all that it held, once, however much of it was written by then. */
export function snapshotsHaveWhatEnded(): void {
  for (let written = 0; written < 40; written++) {
    const { how, state } = endingOf(0, expiry);
    const atBegin = describeSystem(state);
    const hashAtBegin = state.stateHash();
    const cursor = state.beginSnapshot();
    const chunks: Uint8Array[] = [];
    const take = (): boolean => {
      const chunk = cursor.next(60);
      if (chunk !== null) chunks.push(chunk.slice());
      return chunk !== null;
    };
    for (let left = written; left > 0; left--) take();
    eventsOf(state, how);
    while (take());
    const restored = restoreSystem(chunks);
    expect(describeSystem(restored)).toEqual(atBegin);
    expect(restored.stateHash()).toBe(hashAtBegin);
    checkSystem(restored);
  }
}

/** A snapshot of what came from a snapshot shows the state at its begin, whatever is asked for, changed and ended meanwhile. */
export function snapshotsOfPackedAreCuts(): void {
  let packed = 0;
  let packedAtEnd = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const names = Array.from({ length: 40 }, (_, name) => (name % 13 === 0 ? `é/${name}` : nameOf(name)));
    const traffic = new Traffic(3000 + seed, names);
    const { random } = traffic;
    // Who draws a command looks at all names: only this one is looked at.
    const twin = restoredHolds(0).state;
    let index = twin.appliedIndex;
    for (let step = random.between(50, 250); step > 0; step--) twin.applyEntry(traffic.entry(twin), ++index, nobody);
    const state = restoreSystem(recut(wholeSnapshot(twin), random));
    const apply = (): void => {
      const payload = traffic.entry(twin);
      index++;
      for (const each of [twin, state]) each.applyEntry(payload, index, nobody);
    };
    const applyOrAsk = (): void => {
      if (random.chance(0.1)) apply();
      if (random.chance(0.1)) state.lock(random.pick(names));
    };
    expect(describeSystem(state)).toEqual(describeSystem(twin));
    for (let step = random.chance(0.5) ? random.below(5) : 0; step > 0; step--) apply();
    checkSystem(state);
    packed += state.lockState.packed.size;
    const atBegin = describeSystem(state);
    const hashAtBegin = state.stateHash();
    const chunks = cut(state.beginSnapshot(), random, applyOrAsk);
    packedAtEnd += state.lockState.packed.size;
    const restored = restoreSystem(recut(chunks, random));
    expect(describeSystem(restored)).toEqual(atBegin);
    expect(restored.stateHash()).toBe(hashAtBegin);
    checkSystem(restored);
    checkSystem(state);
    expect(describeSystem(state)).toEqual(describeSystem(twin));
  }
  expect(packed).toBeGreaterThan(100);
  expect(packedAtEnd).toBeGreaterThan(0);
}
