import { expect, test } from "vitest";
import { type HolderEffect, type HolderState, newHolder } from "../../src/coherence/holder-state.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { type HomeMessage, lineName, nothingRecorded } from "../../src/coherence/messages.ts";
import { peek } from "../../src/coherence/reading.ts";
import type { Moment } from "../../src/coherence/timing.ts";
import { guard } from "../raft/guard.ts";

/** Calls whose callers have gone: what is left of them at the holder. */

const line = lineName("ns", "k");
const at = (ms: number): Moment => ({ steady: ms, wall: ms });
const mode = { type: "write-through" } as const;
const command = new Uint8Array([1]);

function leased(): HolderState {
  const holder = newHolder("h", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  stepHolder(holder, { type: "read", line: lineName("ns", "other"), mode, waiter: 1, now: at(0) });
  hear(holder, { type: "renewed", term: 1, incarnation: 1, request: 1, sequence: 0 });
  stepHolder(holder, { type: "abandon", line: lineName("ns", "other"), waiter: 1, now: at(1) });
  return holder;
}
function hear(holder: HolderState, message: HomeMessage, ms = 1): readonly HolderEffect[] {
  return stepHolder(holder, { type: "message", message, now: at(ms) });
}
function read(holder: HolderState, waiter: number, ms = 1): readonly HolderEffect[] {
  return stepHolder(holder, { type: "read", line, mode, waiter, now: at(ms) });
}
function abandon(holder: HolderState, waiter: number, ms = 1): readonly HolderEffect[] {
  return stepHolder(holder, { type: "abandon", line, waiter, now: at(ms) });
}
function sent(effects: readonly HolderEffect[]): readonly string[] {
  return effects.flatMap((effect) => (effect.type === "send" ? [effect.message.type] : []));
}

test("a read that nobody waits for leaves nothing, and is not sent again", () => {
  const holder = leased();
  expect(sent(read(holder, 2))).toEqual(["fetch"]);
  read(holder, 3);
  abandon(holder, 2);
  expect(holder.lines.size).toBe(1);
  abandon(holder, 3);
  expect(holder.lines.size).toBe(0);
  expect(sent(stepHolder(holder, { type: "tick", now: at(600) }))).toEqual([]);
  expect(holder.pending.size).toBe(0);
});

test("who waits behind a flight that others have left is answered all the same", () => {
  const holder = leased();
  read(holder, 2);
  hear(holder, { type: "inv", term: 1, incarnation: 1, sequence: 1, scope: { type: "line", line } });
  // Behind the flight: it may be of before the invalidation.
  expect(sent(read(holder, 3))).toEqual([]);
  abandon(holder, 2);
  const data = { type: "data", term: 1, incarnation: 1, line, grant: "S", record: { ...nothingRecorded, version: 4 } } as const;
  expect(sent(hear(holder, { ...data, txn: 2, sequence: 0 }))).toEqual(["fetch"]);
  expect(hear(holder, { ...data, txn: 3, sequence: 1 })).toContainEqual(expect.objectContaining({ type: "answer-read", waiter: 3 }));
});

test("a write that nobody waits for is forgotten with its value when the lease is over, and answers nobody later", () => {
  const holder = leased();
  stepHolder(holder, { type: "write", line, command, keep: true, waiter: 2, now: at(1) });
  abandon(holder, 2, 2);
  // The home is there: it may be doing it, and takes no copy from its writer for it.
  expect(holder.lines.get(line)?.writes.size).toBe(1);
  expect(peek(holder, line, 2, 2)).toBeUndefined();
  stepHolder(holder, { type: "tick", now: at(701) });
  expect([holder.lines.size, holder.incarnation]).toEqual([0, 2]);
  const outcome = { version: 1, answer: new Uint8Array() };
  const done = {
    type: "done",
    term: 1,
    incarnation: 1,
    line,
    txn: 2,
    outcome,
    record: nothingRecorded,
    grant: "none",
    sequence: 0,
  } as const;
  expect(hear(holder, done, 702)).toEqual([]);
});

test("without a lease it is forgotten at the next tick, and others that wait are asked for again under the new life", () => {
  const holder = newHolder("h", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  for (const waiter of [1, 2]) stepHolder(holder, { type: "write", line, command, keep: true, waiter, now: at(0) });
  const other = lineName("ns", "other");
  stepHolder(holder, { type: "read", line: other, mode, waiter: 3, now: at(0) });
  abandon(holder, 1);
  const effects = stepHolder(holder, { type: "tick", now: at(300) });
  expect([...(holder.lines.get(line)?.writes.values() ?? [])].map(({ waiter }) => waiter)).toEqual([2]);
  const messages = effects.flatMap((effect) => (effect.type === "send" ? [effect.message] : []));
  expect(messages).toContainEqual(expect.objectContaining({ type: "fetch", line: other, incarnation: 2 }));
  expect(messages).toContainEqual(expect.objectContaining({ type: "write", line, incarnation: 2 }));
});

test("another home has nothing of it: it is forgotten with the former", () => {
  const holder = leased();
  stepHolder(holder, { type: "write", line, command, keep: true, waiter: 2, now: at(1) });
  read(holder, 3);
  abandon(holder, 2);
  const effects = stepHolder(holder, { type: "home", term: 2, now: at(2) });
  expect([...sent(effects)].sort()).toEqual(["fetch", "renew"]);
  expect(holder.lines.get(line)?.state).toBe("IS_D");
});

test("a stream of writes that are given up does not keep readers without a lease from their answers", () => {
  const holder = newHolder("h", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  for (let waiter = 1; waiter <= 10; waiter++) {
    stepHolder(holder, { type: "write", line, command, keep: true, waiter, now: at(50 * waiter) });
    abandon(holder, waiter, 50 * waiter);
    stepHolder(holder, { type: "tick", now: at(50 * waiter) });
  }
  expect(holder.incarnation).toBe(2);
  stepHolder(holder, { type: "tick", now: at(800) });
  expect([holder.incarnation, holder.lines.size]).toEqual([3, 0]);
});

guard("coherence-leaver-asks-on", "who leaves while it reads asks for nothing more, so that nobody waits for it", () => {
  const holder = leased();
  read(holder, 2);
  stepHolder(holder, { type: "read", line, mode: { type: "strict" }, waiter: 3, now: at(2) });
  stepHolder(holder, { type: "write", line, command, keep: true, waiter: 4, now: at(2) });
  expect(sent(stepHolder(holder, { type: "leave", now: at(3) }))).toEqual(["leave"]);
  // A write may be sent again: it asks for no lease.
  expect(sent(stepHolder(holder, { type: "tick", now: at(600) }))).toEqual(["write"]);
});
