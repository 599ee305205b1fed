import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SnapshotLoader, type SystemState } from "@trivet/core";
import { acquire, apply, heldState, openSession } from "./held.ts";
import { measureSteps, measureTimes, type Cost } from "./stopwatch.ts";

/** What the hosts hand over at a time (engine/src/base/limits.ts). */
const chunkBytes = 64 * 1024;
const timersPerTick = 4096;
const perSession = 10_000;
const endings = 10;
const pages = 20;
const pageItems = 100;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

function number(ms: number): string {
  return ms.toFixed(ms < 100 ? 1 : 0).padStart(8);
}

function line(what: string, { wallMs, cpuMs, longestMs, steps }: Cost, note = ""): string {
  return `${what.padEnd(46)} ${number(wallMs)} ms ${number(cpuMs)} ms CPU   longest of ${String(steps).padStart(4)}: ${number(longestMs)} ms  ${note}`;
}

function cut(state: SystemState): { readonly cost: Cost; readonly chunks: readonly Uint8Array[] } {
  const chunks: Uint8Array[] = [];
  const snapshot = state.beginSnapshot();
  const cost = measureSteps(() => {
    const chunk = snapshot.next(chunkBytes);
    if (chunk !== null) chunks.push(chunk);
    return chunk !== null;
  });
  return { cost, chunks };
}

function restore(chunks: readonly Uint8Array[]): { readonly cost: Cost; readonly state: SystemState } {
  const loader = new SnapshotLoader();
  const cost = measureTimes(chunks.length, (place) => loader.push(chunks[place] ?? new Uint8Array(0)));
  return { cost, state: loader.finish() };
}

function list(state: SystemState): Cost {
  let cursor = "";
  return measureTimes(pages, () => {
    cursor = state.locks("held/", cursor, pageItems).next ?? "";
  });
}

/** Each session's end is one step of apply: nothing else runs meanwhile. */
function endSessions(sessions: readonly number[], state: SystemState): Cost {
  return measureTimes(sessions.length, (place) => apply(state, { type: "expire", kind: "session", id: sessions[place] ?? 0 }));
}

function sessionsToEnd(lockDelayMs: number, waiters: boolean): { readonly state: SystemState; readonly sessions: readonly number[] } {
  const state = heldState(0, 0);
  const sessions = Array.from({ length: endings }, () => openSession(state, lockDelayMs));
  for (const session of sessions) {
    for (let lock = 0; lock < perSession; lock++) acquire(state, session, `end/${session}/${lock}`);
    if (!waiters) continue;
    const heir = openSession(state, 0);
    for (let lock = 0; lock < perSession; lock++) acquire(state, heir, `end/${session}/${lock}`, 60_000);
  }
  return { state, sessions };
}

function startTimers(locks: number): Cost {
  const state = heldState(1, locks, true);
  let started = 0;
  state.startTimers({ armed: () => void started++, cleared: () => {} });
  return measureSteps(() => !state.announceTimers(timersPerTick));
}

function measureLarge(locks: number, say: (text: string) => void): void {
  const sessions = Math.max(1, Math.round(locks / 1000));
  const each = Math.round(locks / sessions);
  const total = sessions * each;
  const empty = heapBytes();
  const building: SystemState[] = [];
  const built = measureTimes(1, () => building.push(heldState(sessions, each)));
  for (const state of building) {
    say(line(`acquire ${total} locks`, built, `${Math.round((heapBytes() - empty) / total)} bytes of heap each`));
    say(line(`list ${pages} pages, names in no order yet`, list(state)));
    const ordered = measureSteps(() => !state.tidy());
    say(line("put the names in order", ordered));
    say(line(`list ${pages} pages`, list(state)));
    const snapshot = cut(state);
    say(line("cut a snapshot", snapshot.cost));
    const restored = restore(snapshot.chunks);
    say(line("restore it", restored.cost, `${restored.state.lockCount()} locks`));
    say(
      line(
        "make its names ready for listings",
        measureSteps(() => !restored.state.arrangeToList()),
      ),
    );
    say(line(`list ${pages} pages of it`, list(restored.state)));
    say(
      line(
        "put its names in order",
        measureSteps(() => !restored.state.tidy()),
      ),
    );
    say(line(`list ${pages} pages of it, in order`, list(restored.state)));
  }
}

/** Prints what the state of group 0 costs at a size, without a cluster: memory, and the longest time that anything keeps the loop from turning. */
export function measureState(locks: number, say: (text: string) => void): void {
  measureLarge(locks, say);
  say(line("start the leases of as many grants", startTimers(locks)));
  for (const [what, lockDelayMs, waiters] of [
    ["end sessions of 10 000 locks, one a step", 0, false],
    ["the same with lock_delay", 1000, false],
    ["the same with a waiter for each lock", 0, true],
  ] as const) {
    const ending = sessionsToEnd(lockDelayMs, waiters);
    while (!ending.state.tidy());
    collect();
    say(line(what, endSessions(ending.sessions, ending.state)));
  }
  for (const [what, lockDelayMs] of [
    ["end restored sessions of 10 000 locks", 0],
    ["the same with lock_delay", 1000],
  ] as const) {
    const ending = sessionsToEnd(lockDelayMs, false);
    const { state } = restore(cut(ending.state).chunks);
    collect();
    say(line(what, endSessions(ending.sessions, state)));
  }
}
