import { mutant } from "#mutation";
import { withoutCopy } from "./fills.ts";
import type { HolderEffect, HolderState, Line, Waiter } from "./holder-state.ts";
import { forgetIdle } from "./holder-state.ts";
import { nextLineState } from "./line-table.ts";
import type { LineName } from "./messages.ts";
import type { Moment } from "./timing.ts";

/**
 * The caller waits no longer. What nobody waits for is not fetched any more. A write may be at the home, though, which withdraws no copy of its writer's:
 * forgotten at once, it would come behind a copy that is fetched meanwhile. So it goes on while there is a lease, which is as long as a home is there to
 * answer it, and is forgotten with this life: to the next one the home owes a withdrawal for it.
 */
export function abandon(holder: HolderState, name: LineName, waiter: Waiter, effects: HolderEffect[]): void {
  const line = holder.lines.get(name);
  if (line === undefined) return;
  for (const write of line.writes.values()) {
    if (write.waiter !== waiter) continue;
    write.isAbandoned = true;
    if (mutant("coherence-abandoned-write-forgotten")) forgetAbandoned(line, effects);
    return;
  }
  const { after, fetch, strict } = line;
  for (const waiting of [fetch?.first ?? [], fetch?.joined ?? [], after, strict]) {
    const at = waiting.indexOf(waiter);
    if (at >= 0) waiting.splice(at, 1);
  }
  if (fetch === null || fetch.first.length + fetch.joined.length + after.length + strict.length > 0) return;
  endFlight(line);
  forgetIdle(holder, line);
}

/** Whoever waits for it is answered no more. */
export function endFlight(line: Line): void {
  line.after = [];
  line.strict = [];
  if (line.fetch === null) return;
  line.state = nextLineState(line.state, "pass");
  line.fetch = null;
  if (line.writes.size === 0) line.invalidated = 0;
}

/**
 * Is there a write that nobody waits for, and nothing to lose by the end of this life? Not too often: whatever is being read without a lease is asked
 * for again under the next one.
 */
export function hasForgettable(holder: HolderState, now: Moment): boolean {
  if (holder.leasedAt !== null || now.steady - holder.forgottenAt < holder.timing.leaseMs) return false;
  for (const name of holder.pending) {
    for (const { isAbandoned } of holder.lines.get(name)?.writes.values() ?? []) if (isAbandoned) return true;
  }
  return false;
}

/** At the end of a life, or of the home that may have had it. */
export function forgetAbandoned(line: Line, effects: HolderEffect[]): void {
  const before = line.writes.size;
  for (const [txn, { isAbandoned }] of line.writes) if (isAbandoned) line.writes.delete(txn);
  if (line.writes.size === before || line.writes.size > 0) return;
  line.newest = 0;
  withoutCopy(line, line.fetch === null ? "lost" : "lost-filling", effects);
  if (line.fetch === null) line.invalidated = 0;
}
