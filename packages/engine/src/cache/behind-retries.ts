import { mutant } from "@trivet/core/mutation";
import type { LineName } from "@trivet/wire";
import { behindFirstRetryMs, behindMaxRetryMs, behindRefusals, behindRestingLingerMs } from "./limits.ts";

interface Retry {
  readonly at: number;
  readonly afterMs: number;
}
interface Alone extends Retry {
  readonly namespace: number;
  /** The one that its origin refused; another one is tried at once. Null = any of this key: it could not be reached. */
  readonly version: number | null;
}

/** What is tried again later: namespaces of which nothing was answered, and single writes of which the others need not wait. */
export class BehindRetries {
  private readonly resting = new Map<number, Retry>();
  private readonly alone = new Map<LineName, Alone>();

  clear(): void {
    this.resting.clear();
    this.alone.clear();
  }

  get doRest(): boolean {
    return this.resting.size > 0;
  }

  restingAt(now: number): readonly number[] {
    return [...this.resting].flatMap(([namespace, { at }]) => (at > now ? [namespace] : []));
  }

  /**
   * `isDear`: to try again costs time. If not, it is for longer each time only when no more writes are remembered: until then each has its own time, and among
   * those behind them some may be taken.
   */
  rest(namespace: number, now: number, isDear: boolean): void {
    // Told so once more for another write of the same try.
    if ((this.resting.get(namespace)?.at ?? now) > now) return;
    const former = !isDear && this.alone.size < behindRefusals ? undefined : this.resting.get(namespace);
    this.resting.set(namespace, next(former, now));
  }

  answered(namespace: number, now: number): void {
    const former = this.resting.get(namespace);
    if (former !== undefined && former.at <= now) this.resting.delete(namespace);
  }

  /** `fresh` goes first: nothing is known against it. */
  turnOf(line: LineName, version: number, now: number): "fresh" | "again" | "later" {
    const retry = this.alone.get(line);
    if (retry === undefined) return "fresh";
    const isAnother = retry.version !== null && retry.version !== version;
    return isAnother || retry.at <= now ? "again" : "later";
  }

  /** False = so many are remembered already that this one is not. */
  leaveAlone(line: LineName, namespace: number, version: number | null, now: number): boolean {
    const former = this.alone.get(line);
    if (former === undefined && this.alone.size >= behindRefusals) return false;
    this.alone.set(line, { namespace, version, ...next(former?.version === version ? former : undefined, now) });
    return true;
  }

  /** Nobody came to it. */
  postpone(line: LineName, now: number): void {
    const former = this.alone.get(line);
    if (former !== undefined) this.alone.set(line, { ...former, at: now + behindFirstRetryMs });
  }

  done(line: LineName): void {
    this.alone.delete(line);
  }

  /**
   * When the first is to be tried again. One that this round, which began at `roundAt`, could have tried and did not is not waited for any more: its write,
   * or its namespace, is gone. `passed`: namespaces that the round has left before their end.
   */
  first(roundAt: number, now: number, passed: ReadonlySet<number>): number {
    let first = Number.POSITIVE_INFINITY;
    for (const [namespace, { at }] of this.resting) {
      if (at <= roundAt && !mutant("behind-retries-what-is-gone")) this.resting.delete(namespace);
      else first = Math.min(first, at);
    }
    for (const [line, { at, namespace }] of this.alone) {
      if (at > roundAt) first = Math.min(first, at);
      else if (passed.has(namespace)) first = Math.min(first, now + behindRestingLingerMs);
      // What rests was not looked at.
      else if (this.resting.has(namespace)) continue;
      else if (mutant("behind-retries-what-is-gone")) first = Math.min(first, at);
      else this.alone.delete(line);
    }
    return first;
  }
}

function next(former: Retry | undefined, now: number): Retry {
  const afterMs = former === undefined ? behindFirstRetryMs : Math.min(2 * former.afterMs, behindMaxRetryMs);
  return { afterMs, at: now + afterMs };
}
