import { mutant } from "#mutation";
import type { Partition } from "./partition.ts";

/** One hand-out, in the thousandths that tokens are counted in. */
const handOut = 1000;
/** Any more a second is no limit, and its thousandths must stay exact. */
const fastest = 1_000_000_000;

/** May one more be handed out? A bucket of one second's hand-outs, filled in group time. */
export function rateAllows({ counters, shard }: Partition, ratePerSecond: number): boolean {
  if (ratePerSecond === 0 || mutant("queue-rate-ignored")) return true;
  const rate = Math.min(ratePerSecond, fastest);
  const full = rate * handOut;
  // Longer than a second fills it anyway; the product stays an exact integer.
  const elapsed = Math.min(Math.max(shard.now - counters.tokensAt, 0), handOut);
  counters.tokens = Math.min(full, counters.tokens + elapsed * rate);
  counters.tokensAt = shard.now;
  return counters.tokens >= handOut;
}

export function pay({ counters }: Partition, ratePerSecond: number): void {
  if (ratePerSecond > 0) counters.tokens = Math.max(0, counters.tokens - handOut);
}
