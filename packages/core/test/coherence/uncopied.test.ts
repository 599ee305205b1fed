import { expect, test } from "vitest";
import { newHolder, type HolderEffect, type HolderState } from "../../src/coherence/holder-state.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { newHome } from "../../src/coherence/home-state.ts";
import { stepHome } from "../../src/coherence/home.ts";
import { nothingRecorded } from "../../src/coherence/messages.ts";
import { defaultCoherenceTiming, type Moment } from "../../src/coherence/timing.ts";
import { guard } from "../raft/guard.ts";
import { cold, explore, warm } from "./support/explore.ts";
import { line } from "./support/world.ts";

// Programs that keep no copies (decision 0027).
const uncopied = { type: "uncopied" } as const;
const at = (ms: number): Moment => ({ steady: ms, wall: ms });
const { leaseMs, renewEveryMs } = defaultCoherenceTiming;

function reader(): HolderState {
  const holder = newHolder("p", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  return holder;
}

function read(holder: HolderState, waiter: number, ms: number): readonly HolderEffect[] {
  return stepHolder(holder, { type: "read", line, mode: uncopied, waiter, now: at(ms) });
}

function told(holder: HolderState, txn: number, version: number, ms: number): readonly HolderEffect[] {
  const record = { ...nothingRecorded, version, asOf: version };
  const data = { type: "data", term: 1, incarnation: 1, line, txn, grant: "none", record, sequence: 0 } as const;
  return stepHolder(holder, { type: "message", message: data, now: at(ms) });
}

const asked = (txn: number): HolderEffect => ({ type: "send", message: { type: "read", term: 1, incarnation: 1, line, txn } });

test("who keeps no copies asks for the value alone, again when no answer comes, and never for a lease", () => {
  const holder = reader();
  expect(read(holder, 1, 0)).toEqual([asked(1)]);
  for (const [ms, sends] of [
    [1, []],
    [renewEveryMs, [asked(1)]],
    [2 * renewEveryMs, [asked(1)]],
    [3 * leaseMs, [asked(1)]],
  ] as const) {
    expect(stepHolder(holder, { type: "tick", now: at(ms) })).toEqual(sends);
  }
  expect(told(holder, 1, 4, 3 * leaseMs)).toMatchObject([{ type: "answer-read", waiter: 1, record: { version: 4 }, source: "home" }]);
  expect([holder.lines.size, holder.leasedAt]).toEqual([0, null]);
});

guard("coherence-unkept-fill-shared", "an answer is for who asked before it was sent for; who came later gets one of his own", () => {
  const holder = reader();
  read(holder, 1, 0);
  expect(read(holder, 2, 1)).toEqual([]);
  expect(told(holder, 1, 4, 2)).toMatchObject([{ type: "answer-read", waiter: 1 }, asked(2)]);
  expect(told(holder, 1, 4, 3)).toEqual([]);
  expect(told(holder, 2, 5, 4)).toMatchObject([{ type: "answer-read", waiter: 2, record: { version: 5 } }]);
});

test("a strict read beside it is of a quorum, and so is what another home makes necessary", () => {
  const holder = reader();
  read(holder, 1, 0);
  stepHolder(holder, { type: "read", line, mode: { type: "strict" }, waiter: 2, now: at(1) });
  const effects = told(holder, 1, 4, 2);
  expect(effects).toMatchObject([{ type: "answer-read", waiter: 1 }, { message: { type: "fetch", confirmed: true } }]);
});

test("who wants a copy and has no lease asks its node for the value, and its home for the lease", () => {
  const holder = newHolder("p", 1, undefined, undefined, true);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  const reads = (waiter: number, ms: number): readonly HolderEffect[] =>
    stepHolder(holder, { type: "read", line, mode: { type: "write-through" }, waiter, now: at(ms) });
  expect(reads(1, 0)).toMatchObject([{ message: { type: "renew" } }, asked(1)]);
  stepHolder(holder, { type: "message", message: { type: "renewed", term: 1, incarnation: 1, request: 1, sequence: 0 }, now: at(1) });
  expect(told(holder, 1, 4, 2)).toMatchObject([{ type: "answer-read", waiter: 1 }]);
  expect(reads(2, 3)).toMatchObject([{ message: { type: "fetch", confirmed: false } }]);
});

test("another home: it is asked for again, and for no lease", () => {
  const holder = reader();
  read(holder, 1, 0);
  const effects = stepHolder(holder, { type: "home", term: 2, now: at(1) });
  expect(effects).toEqual([{ type: "send", message: { type: "read", term: 2, incarnation: 1, line, txn: 2 } }]);
});

test("a home that is asked in this way reads behind a quorum round, and gives no copy", () => {
  const home = newHome();
  stepHome(home, { type: "elected", term: 1, electedAt: 0, registered: [], barred: false, now: 0 });
  const message = { type: "read", term: 1, incarnation: 1, line, txn: 7 } as const;
  const [effect] = stepHome(home, { type: "message", from: "p", message, now: 1 });
  expect(effect).toMatchObject({ type: "read-confirmed", line });
  const number = effect?.type === "read-confirmed" ? effect.read : 0;
  expect(stepHome(home, { type: "confirmed-value", read: number, record: nothingRecorded, now: 2 })).toMatchObject([
    { type: "send", to: "p", message: { type: "data", txn: 7, grant: "none" } },
  ]);
});

const worlds = [
  ["messages in any order", () => warm(3, [0, 1]), { uncopied: 2, writes: 1 }],
  ["the node has no copy", () => warm(2, []), { uncopied: 2, writes: 1 }],
  ["nobody has a lease", () => cold(2), { uncopied: 1, writes: 1, overtakings: 0 }],
  ["nobody has a lease, and it wants copies", () => cold(2), { reads: 1, uncopied: 1, writes: 1, overtakings: 0 }],
  ["leases end", () => warm(2, [0]), { uncopied: 1, writes: 1, ticks: 2, overtakings: 0 }],
  ["messages lost and repeated", () => warm(2, [0]), { uncopied: 1, writes: 1, drops: 1, duplicates: 1, overtakings: 0 }],
  ["its node crashes, or it does", () => warm(2, [0]), { uncopied: 1, writes: 1, holderCrashes: 1, overtakings: 0 }],
  ["a deposed home", () => warm(2, [0]), { uncopied: 1, writes: 1, depositions: 1, overtakings: 0 }],
] as const;
const larger = [
  ["somebody crashes", () => warm(2, [0]), { uncopied: 1, writes: 1, holderCrashes: 1, homeCrashes: 1, overtakings: 0 }],
  ["a fault of any kind", () => warm(2, [0]), { uncopied: 1, writes: 1, faults: 1, overtakings: 0 }],
  ["a deposed home, and leases that end", () => warm(2, [0]), { uncopied: 1, writes: 1, depositions: 1, ticks: 2, overtakings: 0 }],
] as const;
/** As in model.test.ts. */
const isLarge = process.env["TRIVET_COHERENCE_MODEL"] === "large";

const all = isLarge ? [...worlds, ...larger] : worlds;

test.each(all)("a program reads at a node beside writers: %s", { timeout: 3_600_000 }, (name, start, budget) => {
  const found = explore(start().withProgram(), budget, { most: isLarge ? 3_000_000 : 100_000, drainEvery: 25 });
  console.log(`model: a program without copies, ${name}: ${found.states} states, ${found.drained} led to their end`);
  expect(found.drained).toBeGreaterThan(0);
});

guard("coherence-lapsed-copy-read", "a node tells its programs of no copy without a lease", () => {
  explore(warm(3, [0]).withProgram(), { uncopied: 1, writes: 1, ticks: 2, overtakings: 0 }, { most: 200_000, drainEvery: 0 });
});
