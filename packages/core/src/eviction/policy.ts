import type { Resident } from "./resident.ts";

/** A policy keeps at most so many copies, and at most so many bytes of them. Of copies whose size nobody counts, each weighs 0. */
export interface Bounds {
  /** Copies; a whole number up to `evictionLimits.entries`. 0 = keep nothing. */
  readonly maxEntries: number;
  /** Bytes, `Infinity` = not bounded. */
  readonly maxBytes: number;
}

export { type PolicyName, policyNames } from "@trivet/wire";

/**
 * Which copy goes when there is no room (rule M9: policies evict copies, never data). A policy only *decides*: dropping a copy is a
 * protocol message and the caller's to send, so nothing ever leaves a policy but by `remove`. Pure and deterministic.
 *
 * A cache calls `admit` after a fill, then `makeRoom` in the same turn of the event loop; `recordHit` at each read hit.
 */
export interface EvictionPolicy<Line> {
  readonly bounds: Bounds;
  /** Copies kept. */
  readonly entries: number;
  /** Their weight. */
  readonly bytes: number;
  /** True when a bound is exceeded: the caller must remove copies before it lets go of the event loop. */
  readonly isOver: boolean;
  /**
   * Takes in a copy that was just filled. `hash` = 32 well mixed bits of its key, always the same for a key. Null when it could not be kept even alone: the caller
   * serves it without keeping it. What was known about `hash` from before its last eviction counts.
   */
  admit(line: Line, hash: number, bytes: number): Resident<Line> | null;
  /** A read hit. O(1); allocates nothing. */
  recordHit(resident: Resident<Line>): void;
  /** The copy got another weight. False, and nothing changed, when it can no longer be kept even alone: the caller removes it. */
  resize(resident: Resident<Line>, bytes: number): boolean;
  /**
   * The copy that is worth least of those that `mayEvict` lets go: a line that is pinned, dirty or in a transient state is refused and
   * the next one offered, and a refused one is as good as young for a while. Null when there is none, or `offersPerChoice` were refused.
   * The copy stays counted until the caller removes it. `mayEvict` only answers; it must not call the policy.
   */
  chooseVictim(mayEvict: (line: Line) => boolean): Resident<Line> | null;
  /** The copy is gone: `evicted` for want of room, or `dropped` (invalidated, expired, deleted), which says nothing about its worth. */
  remove(resident: Resident<Line>, why: "evicted" | "dropped"): void;
}

/**
 * Evicts until the bounds hold. `evict` is called with each copy after it was removed: there the caller sends its message. False when
 * no more victims were to be had: the caller then removes the copy that it wanted to add.
 */
export function makeRoom<Line>(policy: EvictionPolicy<Line>, mayEvict: (line: Line) => boolean, evict: (line: Line) => void): boolean {
  while (policy.isOver) {
    const victim = policy.chooseVictim(mayEvict);
    if (victim === null) return false;
    policy.remove(victim, "evicted");
    evict(victim.line);
  }
  return true;
}
