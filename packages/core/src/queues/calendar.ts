import { KeyReader, keyOf, keysEnd, present, tables } from "./keys.ts";
import type { OrderedView } from "./store.ts";

/** Calendar deadlines (rule L3), by number in their keys. Append only; never reuse. */
const kinds = {
  /** queue, partition, sequence: a delayed message becomes ready. */
  promote: 1,
  /** queue, partition, group, sequence: a failed message is to be handed out again. */
  retry: 2,
  /** queue, partition, lane, place: a message is over. */
  expire: 3,
  /** queue, partition, dedupe id: may be produced again. */
  "forget-id": 4,
  /** caller: its record is dropped (rule X1). */
  "forget-caller": 5,
  /** namespace, tag, version: an invalidation is remembered by the floor alone. */
  "forget-tag": 6,
} as const;
export type DeadlineKind = keyof typeof kinds;

/** A deadline beyond all time stays a number that keys and records can carry. */
export function later(now: number, ms: number): number {
  return Math.min(now + ms, Number.MAX_SAFE_INTEGER);
}

export function schedule(view: OrderedView, at: number, kind: DeadlineKind, what: readonly (number | string)[]): void {
  view.put(keyOf(tables.calendar, at, kinds[kind], ...what), present);
}

export function unschedule(view: OrderedView, at: number, kind: DeadlineKind, what: readonly (number | string)[]): void {
  view.remove(keyOf(tables.calendar, at, kinds[kind], ...what));
}

/** The earliest of all; 0 = there is none. */
export function nextDeadline(view: OrderedView): number {
  let next = 0;
  const prefix = keyOf(tables.calendar);
  view.scan(prefix, keysEnd(prefix), (key) => {
    next = new KeyReader(key).integer();
    return false;
  });
  return next;
}

/** Null for a kind that this version does not know. */
export function deadlineKind(number: number): DeadlineKind | null {
  for (const [kind, known] of Object.entries(kinds)) if (known === number) return kind as DeadlineKind;
  return null;
}
