import type { LockMode } from "@trivet/wire";

import type { Violation } from "./history.ts";
import { groupBy } from "./history.ts";
import { compatible } from "./models/lock.ts";

/**
 * The time during which a caller surely held a lock: from the moment it saw the grant to the moment it asked for the release, or to
 * the moment the log ended the hold (expiry, force, session end), whichever came first.
 */
export interface HoldInterval {
  readonly name: string;
  readonly owner: string;
  readonly mode: LockMode;
  /** Size of the semaphore when `mode` is `permit`. */
  readonly of: number;
  readonly fence: number;
  readonly from: number;
  /** Null = held to the end of the history. */
  readonly until: number | null;
}

const endOf = (hold: HoldInterval): number => hold.until ?? Number.POSITIVE_INFINITY;

/**
 * Interval check (study of locks, §6.2): on one name, holds in modes that exclude each other never overlap, and never more than `of`
 * permits are out. O(n log n), so it runs on histories too long for the linearizability search. An instant shared by an end and a start is no overlap.
 */
export function checkMutualExclusion(holds: readonly HoldInterval[]): Violation | null {
  for (const group of groupBy(holds, (hold) => hold.name).values()) {
    const sorted = group.filter((hold) => endOf(hold) > hold.from).sort((a, b) => a.from - b.from || a.fence - b.fence);
    const found = checkModes(sorted) ?? checkPermits(sorted.filter((hold) => hold.mode === "permit"));
    if (found !== null) return found;
  }
  return null;
}

/** In order of start, a hold conflicts with an earlier one iff that one, of an excluding mode, ends after this start: the latest end per mode is enough. */
function checkModes(sorted: readonly HoldInterval[]): Violation | null {
  const latest = new Map<LockMode, HoldInterval>();
  for (const hold of sorted) {
    for (const [mode, other] of latest) {
      if (!compatible(mode, hold.mode) && endOf(other) > hold.from && other.fence !== hold.fence) return overlap(other, hold);
    }
    const previous = latest.get(hold.mode);
    if (previous === undefined || endOf(hold) > endOf(previous)) latest.set(hold.mode, hold);
  }
  return null;
}

function checkPermits(sorted: readonly HoldInterval[]): Violation | null {
  const edges = sorted.flatMap((hold) => [
    { at: hold.from, step: 1, hold },
    { at: endOf(hold), step: -1, hold },
  ]);
  edges.sort((a, b) => a.at - b.at || a.step - b.step);
  let out = 0;
  for (const { step, hold } of edges) {
    out += step;
    if (out > hold.of) {
      return {
        invariant: "semaphore-limit",
        detail: `${hold.name}: ${out} permits of ${hold.of} out at ${hold.from} (fence ${hold.fence})`,
      };
    }
  }
  return null;
}

function overlap(a: HoldInterval, b: HoldInterval): Violation {
  const show = (hold: HoldInterval): string => `${hold.owner} ${hold.mode} fence ${hold.fence} [${hold.from}, ${hold.until ?? "end"}]`;
  return { invariant: "mutual-exclusion", detail: `${a.name}: ${show(a)} overlaps ${show(b)}` };
}
