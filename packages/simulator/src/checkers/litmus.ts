/**
 * What the litmus tests of memory models forbid. Every value written in a round is the round's number: what is smaller is old. Each says what was seen
 * that must not be, or null.
 */

/** What one flow's reads saw, in order. */
export type Seen = readonly number[];
export type Forbids = (seen: readonly Seen[], round: number) => string | null;

const isSorted = (seen: Seen): boolean => seen.every((value, at) => at === 0 || (seen[at - 1] ?? 0) <= value);

/** One key is never read backwards. */
export const corr: Forbids = (seen) => (seen.every(isSorted) ? null : "a program read a key backwards");

/** Writes of one key have one order: whoever wrote last, or read the last, never reads what was before. */
export const coww: Forbids = (seen, round) =>
  seen.every((reads) => reads.at(-1) === round) ? null : "a program did not find its own write, or a later one";

/** Who sees the second write of somebody sees the first. Flows after the writer's read the second's key and then the first's, again and again. */
export const mp: Forbids = (seen, round) => {
  const inOrder = (reads: Seen): boolean => reads.every((value, at) => at % 2 === 1 || value !== round || reads[at + 1] === round);
  return seen.slice(1).every(inOrder) ? null : "a program saw the second write and not the first";
};

/** Of two who write and then read what the other writes one sees the other. */
export const sb: Forbids = ([one, other], round) =>
  one?.[0] !== round && other?.[0] !== round ? "two programs wrote and neither saw the other" : null;

/** Two readers do not see two writes in different orders. The first two flows write. */
export const iriw: Forbids = ([, , one, other], round) => {
  const isInverted = one?.[0] === round && one[1] !== round && other?.[0] === round && other[1] !== round;
  return isInverted ? "two programs saw two writes in different orders" : null;
};

export interface TimedRead {
  readonly began: number;
  readonly ended: number;
  readonly value: number;
  readonly by: number;
}

/** Once somebody has read the new value nobody whose read begins later reads the old one. */
export function inversion(reads: readonly TimedRead[]): string | null {
  for (const early of reads) {
    const late = reads.find(({ began, value }) => began > early.ended && value < early.value);
    if (late !== undefined) return `program ${early.by + 1} read ${early.value}, and program ${late.by + 1} read ${late.value} later`;
  }
  return null;
}
