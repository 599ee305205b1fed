import { invariant } from "./assert.ts";

/** What one cluster can count on beyond its backup before it is lost: twelve days at a million a second. */
const headroom = 2 ** 40;
/** One second of wall clock is so many numbers, so that two restores of one backup begin apart. */
const perSecond = 2 ** 20;

/**
 * Where the counters of a new cluster begin that takes over the state of another (rule W9): above everything the former one can have
 * handed out since `saved`, and above what an earlier restore of the same backup began with.
 */
export function counterBase(saved: number, unixSeconds: number): number {
  const base = Math.max(saved + headroom, Math.floor(unixSeconds) * perSecond);
  invariant(Number.isSafeInteger(base + headroom), "counters-below-2^53", () => `${saved} at ${unixSeconds}`);
  return base;
}
