import { expect } from "vitest";
import { type HolderEffect, type HolderState, newHolder, type ReadMode } from "../../src/coherence/holder-state.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { type CachedRecord, type HomeMessage, lineName, nothingRecorded } from "../../src/coherence/messages.ts";
import { peek } from "../../src/coherence/reading.ts";
import type { Moment } from "../../src/coherence/timing.ts";
import { guard } from "../raft/guard.ts";

/** Answers that come after what they must not bring back, at one holder. */

const line = lineName("ns", "k");
const at = (ms: number): Moment => ({ steady: ms, wall: ms });
const record = (version: number, tags: readonly string[] = []): CachedRecord => ({ ...nothingRecorded, version, tags, asOf: version });
const data = { type: "data", term: 1, incarnation: 1, line } as const;
const writeThrough: ReadMode = { type: "write-through" };

function leased(incarnation = 1): HolderState {
  const holder = newHolder("h", incarnation);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  stepHolder(holder, { type: "read", line: lineName("ns", "other"), mode: writeThrough, waiter: 1, now: at(0) });
  hear(holder, { type: "renewed", term: 1, incarnation, request: 1, sequence: 0 });
  return holder;
}

function hear(holder: HolderState, message: HomeMessage, ms = 1): readonly HolderEffect[] {
  return stepHolder(holder, { type: "message", message, now: at(ms) });
}

function read(holder: HolderState, mode: ReadMode, waiter: number, ms = 1): number {
  const effects = stepHolder(holder, { type: "read", line, mode, waiter, now: at(ms) });
  return fetchIn(effects)?.txn ?? 0;
}

function fetchIn(effects: readonly HolderEffect[]): { readonly txn: number; readonly confirmed: boolean } | undefined {
  for (const effect of effects) if (effect.type === "send" && effect.message.type === "fetch") return effect.message;
  return undefined;
}

function write(holder: HolderState, waiter: number, ms = 1): number {
  const command = new Uint8Array([waiter]);
  for (const effect of stepHolder(holder, { type: "write", line, command, keep: true, waiter, now: at(ms) })) {
    if (effect.type === "send" && effect.message.type === "write") return effect.message.txn;
  }
  throw new Error("nothing is written");
}

function answered(effects: readonly HolderEffect[]): readonly number[] {
  return effects.flatMap((effect) => (effect.type === "answer-read" || effect.type === "answer-write" ? [effect.waiter] : []));
}

guard("coherence-tag-spares-a-write", "M5, M8: a written copy that an invalidation of its new tag overtook is not kept", () => {
  const holder = leased();
  const fetch = read(holder, writeThrough, 2);
  hear(holder, { ...data, txn: fetch, grant: "S", record: record(1), sequence: 0 });
  const txn = write(holder, 3);
  hear(holder, { type: "inv", term: 1, incarnation: 1, sequence: 1, scope: { type: "namespace", namespace: "ns", tag: "t" } });
  const outcome = { version: 2, answer: new Uint8Array() };
  hear(holder, { type: "done", term: 1, incarnation: 1, line, txn, outcome, record: record(2, ["t"]), grant: "M", sequence: 0 });
  expect(peek(holder, line, 2, 2)).toBeUndefined();
});

guard("coherence-former-process-answered", "X1: what a process is told that is no more answers nobody of the next", () => {
  const former = leased();
  const old = write(former, 2);
  const holder = leased(2);
  const txn = write(holder, 3);
  expect(txn).toBe(old);
  const outcome = { version: 2, answer: new Uint8Array() };
  const done = { type: "done", term: 1, line, txn, outcome, record: record(2), grant: "none", sequence: 0 } as const;
  expect(answered(hear(holder, { ...done, incarnation: 1 }))).toEqual([]);
  expect(answered(hear(holder, { ...done, incarnation: 2 }))).toEqual([3]);
});

guard("coherence-strict-answered-by-fill", "a strict read beside a fill is answered by what a quorum confirmed", () => {
  const holder = leased();
  const fetch = read(holder, writeThrough, 2);
  read(holder, { type: "strict" }, 3, 2);
  const filled = hear(holder, { ...data, txn: fetch, grant: "S", record: record(1), sequence: 0 }, 3);
  expect(answered(filled)).toEqual([2]);
  const second = fetchIn(filled);
  expect(second?.confirmed).toBe(true);
  const confirmed = hear(holder, { ...data, txn: second?.txn ?? 0, grant: "none", record: record(2), sequence: 0 }, 4);
  expect(confirmed).toMatchObject([{ type: "answer-read", waiter: 3, record: { version: 2 } }]);
});

guard("coherence-strict-answered-by-fill", "mode ttl: what was read for others before is not told to a strict reader", () => {
  const holder = leased();
  const fetch = read(holder, { type: "ttl", staleMs: 1000 }, 2);
  read(holder, { type: "strict" }, 3, 2);
  const filled = hear(holder, { ...data, txn: fetch, grant: "none", record: record(1), sequence: 0 }, 3);
  expect(answered(filled)).toEqual([2]);
  expect(fetchIn(filled)?.confirmed).toBe(true);
});

guard("coherence-strict-answered-by-write", "a strict read beside an own write is answered by what a quorum confirmed", () => {
  const holder = leased();
  const txn = write(holder, 2);
  const fetch = read(holder, { type: "strict" }, 3);
  read(holder, { type: "strict" }, 4, 2);
  const outcome = { version: 2, answer: new Uint8Array() };
  const done = hear(holder, { type: "done", term: 1, incarnation: 1, line, txn, outcome, record: record(2), grant: "M", sequence: 0 }, 3);
  expect(answered(done)).toEqual([2]);
  const second = fetchIn(done);
  expect(second?.confirmed).toBe(true);
  expect(second?.txn).not.toBe(fetch);
  expect(answered(hear(holder, { ...data, txn: second?.txn ?? 0, grant: "none", record: record(3), sequence: 0 }, 4))).toEqual([3, 4]);
});
