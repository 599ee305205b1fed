import { mutant } from "#mutation";
import { isReadable } from "./line-table.ts";
import type { CachedRecord, LineName } from "./messages.ts";
import type { Copy, HolderState, Line } from "./holder-state.ts";

/**
 * A hit without a call of the step: what the copy says, or undefined when there is none that may be read now. The clocks are read by the
 * caller in the same turn; a pause after this is harmless, because the moment of the read was here. Allocates nothing.
 */
export function peek(holder: HolderState, name: LineName, steady: number, wall: number): CachedRecord | undefined {
  const line = holder.lines.get(name);
  return line === undefined ? undefined : readableCopy(holder, line, steady, wall)?.record;
}

/** The copy of this line, if it may be read at this moment. */
export function readableCopy(holder: HolderState, line: Line, steady: number, wall: number): Copy | undefined {
  const { copy } = line;
  if (copy === null || !(isReadable(line.state) || mutant("coherence-writer-reads-own-copy"))) return undefined;
  const isOver = copy.until !== null && (steady >= copy.until.steady || wall >= copy.until.wall);
  if (isOver && !mutant("coherence-copy-outlives-its-time")) return undefined;
  if (copy.timed || isLeased(holder, steady, wall) || mutant("coherence-lapsed-copy-read")) return copy;
  return undefined;
}

/** Rule M2: counted from the send of the request; over as soon as either clock says so. */
export function isLeased({ leasedAt, timing }: HolderState, steady: number, wall: number): boolean {
  if (leasedAt === null) return false;
  const { leaseMs } = timing;
  return steady - leasedAt.steady < leaseMs && (wall - leasedAt.wall < leaseMs || mutant("coherence-suspend-unnoticed"));
}

/** May the policy give this line's copy up? Not while something is on its way. */
export function isEvictable(holder: HolderState, name: LineName): boolean {
  const state = holder.lines.get(name)?.state;
  return state !== undefined && isReadable(state);
}
