import { mutant } from "#mutation";
import { invariant } from "./assert.ts";

/** Two moments in milliseconds since 1970: of a backup, and of the restore that takes its state over. */
export interface Takeover {
  /** The state was read then, or later. */
  readonly savedMs: number;
  readonly nowMs: number;
}

/** More than anything in a group counts in a second: each number costs a part of an entry that is written to disks. */
const countedPerSecond = 2 ** 20;
/** More elections than a group has in a second. */
const termsPerSecond = 1000;
/** What is left to a new cluster to count on with, at the least. */
const room = 2 ** 40;
/** By so much the clocks of a backup and of a restore may differ where only they protect. */
const slackSeconds = 1024;

/** Where the counters of a new cluster begin that takes over the state of another (rule W9). */
export function counterBase(saved: number, times: Takeover): number {
  return onTheClock(saved, times, countedPerSecond);
}

/**
 * The same of a group's terms: a program with copies of cached values that outlives the restore knows the term of their home, and listens to
 * none before it (rule M4).
 */
export function termBase(saved: number, times: Takeover): number {
  return onTheClock(saved, times, termsPerSecond);
}

/**
 * The clock is one counter that all restores of all backups of a family of clusters share. It runs faster than any of them counts, so who begins with its
 * number is above everything that the former cluster gave since the backup, that an earlier restore gave, or a restore of that one's backup; and
 * stays behind the clock. Anything added to it would break that order for as long as the clock needs to catch up.
 *
 * A state that is ahead of the clock all the same (an earlier restore had a clock that was fast, or was made by a version that added something) stays ahead by as
 * much: above what its cluster counted since, and apart from other restores of the same backup.
 */
function onTheClock(saved: number, { nowMs, savedMs }: Takeover, perSecond: number): number {
  invariant(nowMs >= savedMs, "clock-behind-backup", () => `saved at ${savedMs}, taken over at ${nowMs}`);
  // Monotone, and rounded by less than a millisecond's worth.
  const at = (ms: number): number => Math.floor((ms * perSecond) / 1000);
  let base = at(nowMs);
  if (mutant("counter-base-by-headroom")) base = Math.max(saved + room, base);
  else if (saved > at(savedMs)) {
    const elapsed = mutant("counter-base-elapsed-ignored") ? 0 : at(nowMs) - at(savedMs);
    base = saved + elapsed + (mutant("counter-base-no-slack") ? 0 : slackSeconds * perSecond);
  }
  invariant(Number.isSafeInteger(base + room), "counters-below-2^53", () => `${saved} at ${nowMs}`);
  return base;
}
