import type { OriginName } from "@trivet/wire";

/** Where an origin keeps the stamp of a value beside it, under a name of its own, that name ends so; no value's name does. */
export const stampSuffix = ":trivet-stamp";

/** What an outside origin says of one key. */
export type OriginAnswer =
  | { readonly type: "value"; readonly value: Uint8Array }
  | { readonly type: "absent" }
  /** It was not to be found out now; `reason` is for people. */
  | { readonly type: "failed"; readonly reason: string };

/** One write that an origin does not have yet (decision 0020). */
export interface OriginWrite {
  readonly namespace: string;
  readonly key: string;
  /** Null = the key is deleted. */
  readonly value: Uint8Array | null;
  /**
   * 32 decimal digits, which rise with every write of the key: compared as text or as numbers. What the origin has of a key with the same or a higher
   * stamp must stay: repeats, and late writes of a leader that is none any more, change nothing.
   */
  readonly stamp: string;
}
export type OriginWritten =
  | { readonly type: "written" }
  /** The origin has this stamp already, or a higher one: `stamp`, or null where it does not tell. */
  | { readonly type: "newer"; readonly stamp: string | null }
  /** The origin answers, and does not take this one. */
  | { readonly type: "refused"; readonly reason: string }
  /** Whether it was written is not known. */
  | { readonly type: "unreachable"; readonly reason: string }
  /** There was no time for it: nothing is known of it, and nothing against it. */
  | { readonly type: "untried" };

/**
 * An outside system that values come from (read-through) and, where their namespace says so, go to (write-behind). It keeps its own connections, and says itself when they are lost and
 * found; while they are lost it answers `failed` at once.
 */
export interface CacheOrigin {
  /** Nobody waits for a value longer than this, and for what became of writes twice as long. */
  readonly timeoutMs: number;
  /** `done` comes later, never inside the call, and once. Whatever comes after `timeoutMs` is not used. */
  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void;
  /** `told` comes later, once for each write, as soon as it is known: with its place among them. The writes are of different keys. */
  write(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void;
}
export type CacheOrigins = { readonly [Name in Exclude<OriginName, "none">]?: CacheOrigin };
