import type { OriginName } from "@trivet/wire";

/** What an outside origin says of one key. */
export type OriginAnswer =
  | { readonly type: "value"; readonly value: Uint8Array }
  | { readonly type: "absent" }
  /** It was not to be found out now; `reason` is for people. */
  | { readonly type: "failed"; readonly reason: string };

/**
 * An outside system that values come from (read-through). It is only read. It keeps its own connections, and says itself when they are lost and
 * found; while they are lost it answers `failed` at once.
 */
export interface CacheOrigin {
  /** Nobody waits for an answer longer than this. */
  readonly timeoutMs: number;
  /** `done` comes later, never inside the call, and once. Whatever comes after `timeoutMs` is not used. */
  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void;
}
export type CacheOrigins = { readonly [Name in Exclude<OriginName, "none">]?: CacheOrigin };
