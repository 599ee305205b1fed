import type { CacheOrigin, OriginAnswer, OriginWrite, OriginWritten } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";

interface Row {
  readonly value: string | null;
  readonly stamp: string;
}

/** An outside system on virtual time that reads and writes, loses answers, and carries out late what it was asked. */
export class OutsideStore implements CacheOrigin {
  readonly timeoutMs = 500;
  readonly rows = new Map<string, Row>();
  /** Every write that came, in its order: `key=value`. */
  readonly writes: string[] = [];
  readonly loads: string[] = [];
  delayMs = 5;
  /** Cannot be reached. */
  isAway = false;
  /** Carries out what it is asked, and its answers do not arrive. */
  losesAnswers = false;
  /** Keys that it does not take, and why. */
  readonly refusals = new Map<string, string>();
  /** What another program has put in the way: a write that comes now is carried out so much later, and never answered. */
  lateMs = 0;
  private readonly later: (delayMs: number, run: () => void) => unknown;

  constructor(later: (delayMs: number, run: () => void) => unknown) {
    this.later = later;
  }

  value(key: string): string | null | undefined {
    return this.rows.get(key)?.value;
  }

  load(_namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    this.loads.push(key);
    const value = this.rows.get(key)?.value ?? null;
    const answer: OriginAnswer = this.isAway
      ? { type: "failed", reason: "away" }
      : value === null
        ? { type: "absent" }
        : { type: "value", value: encodeUtf8(value) };
    this.later(this.delayMs, () => done(answer));
  }

  write(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    const done = (outcomes: readonly OriginWritten[]): void => outcomes.forEach((outcome, place) => told(place, outcome));
    if (this.isAway) return void this.later(this.delayMs, () => done(writes.map(() => ({ type: "unreachable", reason: "away" }))));
    if (this.lateMs > 0) return void this.later(this.lateMs, () => void writes.map((write) => this.take(write)));
    const { losesAnswers } = this;
    return void this.later(this.delayMs, () => {
      const outcomes = writes.map((write) => this.take(write));
      if (!losesAnswers) this.later(this.delayMs, () => done(outcomes));
    });
  }

  private take({ key, stamp, value }: OriginWrite): OriginWritten {
    const text = value === null ? null : decodeUtf8(value);
    this.writes.push(`${key}=${text}`);
    const reason = this.refusals.get(key);
    if (reason !== undefined) return { type: "refused", reason };
    const known = this.rows.get(key);
    if (known !== undefined && known.stamp >= stamp) return { type: "newer", stamp: known.stamp };
    this.rows.set(key, { value: text, stamp });
    return { type: "written" };
  }
}
