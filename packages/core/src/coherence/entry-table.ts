import { invariant } from "../kernel/assert.ts";

/**
 * What a home knows of a line. At rest: `U` nobody has a copy, `S` some have, `X` one has it as E or M. Busy: `B_Read` the store is being
 * read for those who wait, `B_Inv` copies are being withdrawn for a write, `B_Commit` the write is in the log and its end not known:
 * nothing is granted before it is (reference race 29).
 */
export const entryStates = ["U", "S", "X", "B_Read", "B_Inv", "B_Commit"] as const;
export type EntryState = (typeof entryStates)[number];

export const entryEvents = [
  /** The next operation is one of those that wait. */
  "start-read",
  "start-write",
  /** Everybody who had a copy has given it up, or can no longer read it. */
  "cleared",
  /** The operation is over; who has a copy now. */
  "rest-U",
  "rest-S",
  "rest-X",
] as const;
export type EntryEvent = (typeof entryEvents)[number];

/** Total: a cell without a state is a transition that must never be asked for. */
export const entryTable: Readonly<Record<EntryState, Readonly<Record<EntryEvent, EntryState | null>>>> = {
  U: row({ "start-read": "B_Read", "start-write": "B_Inv", "rest-U": "U" }),
  // Copies are given up and sessions end at any time.
  S: row({ "start-read": "B_Read", "start-write": "B_Inv", "rest-U": "U", "rest-S": "S" }),
  X: row({ "start-read": "B_Read", "start-write": "B_Inv", "rest-U": "U", "rest-X": "X" }),
  B_Read: row({ "rest-U": "U", "rest-S": "S", "rest-X": "X" }),
  B_Inv: row({ cleared: "B_Commit" }),
  B_Commit: row({ "rest-U": "U", "rest-S": "S", "rest-X": "X" }),
};

function row(cells: Partial<Record<EntryEvent, EntryState>>): Record<EntryEvent, EntryState | null> {
  const whole = Object.fromEntries(entryEvents.map((event) => [event, null])) as Record<EntryEvent, EntryState | null>;
  return { ...whole, ...cells };
}

export function nextEntryState(state: EntryState, event: EntryEvent): EntryState {
  const next = entryTable[state][event];
  invariant(next !== null, "coherence-entry-transition", () => `${event} in ${state}`);
  return next;
}

export function isAtRest(state: EntryState): boolean {
  return state === "U" || state === "S" || state === "X";
}
