import { invariant } from "../kernel/assert.ts";

/**
 * States of one copy. Stable: `I` none, `S` beside others, `E` the only one, `M` the only one and just written (rule M7). In between:
 * `IS_D` waits for its fill; `IS_D_I` too, but what it waits for was invalidated or overwritten since and may only be passed on;
 * `IM_D` has writes under way and no copy; `SM_D` has a write under way and a copy that nobody may read until it is known whether the
 * write changed anything (rule M5).
 */
export const lineStates = ["I", "S", "E", "M", "IS_D", "IS_D_I", "IM_D", "SM_D"] as const;
export type LineState = (typeof lineStates)[number];

export const lineEvents = [
  "read",
  "write",
  "inv",
  "share",
  /** A fill that may be kept. */
  "fill-S",
  "fill-E",
  /** A fill that answers those who wait and is not kept. */
  "pass",
  /** One of several writes was answered. */
  "done",
  /** The last write was answered: with a copy, having changed nothing, or without a copy. While a fill is on its way: `-filling`. */
  "won",
  /** With a copy that others have by now, too. */
  "won-S",
  "refused",
  "lost",
  "refused-filling",
  "lost-filling",
  "evict",
  /** The session is over: lapse, gap, new home. */
  "reset",
] as const;
export type LineEvent = (typeof lineEvents)[number];

/** Total: a cell without a state is a transition that must never be asked for. */
export const lineTable: Readonly<Record<LineState, Readonly<Record<LineEvent, LineState | null>>>> = {
  I: row({ read: "IS_D", write: "IM_D", inv: "I", share: "I", reset: "I" }),
  // A copy that may be read answers without a transition; one whose time is over is given up first (`inv`).
  S: row({ write: "SM_D", inv: "I", share: "S", evict: "I", reset: "I" }),
  E: row({ write: "SM_D", inv: "I", share: "S", evict: "I", reset: "I" }),
  M: row({ write: "SM_D", inv: "I", share: "S", evict: "I", reset: "I" }),
  IS_D: row({ read: "IS_D", write: "IM_D", inv: "IS_D_I", share: "IS_D", "fill-S": "S", "fill-E": "E", pass: "I", reset: "I" }),
  IS_D_I: row({ read: "IS_D_I", write: "IM_D", inv: "IS_D_I", share: "IS_D_I", "fill-S": "S", "fill-E": "E", pass: "I", reset: "I" }),
  IM_D: row({
    read: "IM_D",
    write: "IM_D",
    inv: "IM_D",
    share: "IM_D",
    pass: "IM_D",
    done: "IM_D",
    won: "M",
    "won-S": "S",
    refused: "I",
    lost: "I",
    "refused-filling": "IS_D_I",
    "lost-filling": "IS_D_I",
    reset: "IM_D",
  }),
  SM_D: row({
    read: "SM_D",
    write: "SM_D",
    inv: "IM_D",
    share: "SM_D",
    pass: "SM_D",
    done: "IM_D",
    won: "M",
    "won-S": "S",
    refused: "S",
    lost: "I",
    "refused-filling": "IS_D_I",
    "lost-filling": "IS_D_I",
    reset: "IM_D",
  }),
};

function row(cells: Partial<Record<LineEvent, LineState>>): Record<LineEvent, LineState | null> {
  const whole = Object.fromEntries(lineEvents.map((event) => [event, null])) as Record<LineEvent, LineState | null>;
  return { ...whole, ...cells };
}

/** The state after `event`; a broken invariant where the table has none. */
export function nextLineState(state: LineState, event: LineEvent): LineState {
  const next = lineTable[state][event];
  invariant(next !== null, "coherence-line-transition", () => `${event} in ${state}`);
  return next;
}

/** May a copy in this state answer reads, as long as its lease lives? I never does (W-54), nor does anything on its way. */
export function isReadable(state: LineState): boolean {
  return state === "S" || state === "E" || state === "M";
}
