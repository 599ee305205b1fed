import { createHash } from "node:crypto";
import { httpLimits } from "@trivet/contract";
import { RateLimiter } from "./rate-limiter.ts";

/** So many are remembered as right; the one that was seen first goes. */
const maxRemembered = 10_000;

/**
 * Wrong credentials of each address: so many at once, and so many a second. What is beyond that is not looked at, so that nobody learns
 * whether it was right; but what was right lately from the same address goes on: others there may share it (a proxy) and mean no harm.
 */
export class WrongCredentials {
  private readonly buckets: RateLimiter;
  /** Hashes of address and credential. Also while that address has no wrong ones: those that come next may leave no moment to be right in. */
  private readonly remembered = new Set<string>();

  constructor(now: () => number) {
    this.buckets = new RateLimiter({ perSecond: httpLimits.wrongCredentialsPerSecond, burst: httpLimits.wrongCredentialsAtOnce }, now);
  }

  /** Null = it may be looked at; else after how many milliseconds. */
  wait(address: string, credential: string): number | null {
    const waitMs = this.buckets.wait(address);
    return waitMs === null || this.remembered.has(hashOf(address, credential)) ? null : waitMs;
  }

  /** One is wrong, or is being looked at and may be. */
  take(address: string): void {
    this.buckets.take(address);
  }
  /** It was not wrong. */
  giveBack(address: string): void {
    this.buckets.giveBack(address);
  }

  right(address: string, credential: string): void {
    const hash = hashOf(address, credential);
    if (this.remembered.has(hash)) return;
    this.remembered.add(hash);
    if (this.remembered.size <= maxRemembered) return;
    const [first = ""] = this.remembered;
    this.remembered.delete(first);
  }

  get sizes(): { readonly addresses: number; readonly credentials: number } {
    return { addresses: this.buckets.size, credentials: this.remembered.size };
  }
}

const hashOf = (address: string, credential: string): string =>
  createHash("sha256").update(`${address}\n`).update(credential).digest("base64");
