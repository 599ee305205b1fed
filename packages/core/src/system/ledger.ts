import type { CallerRecord } from "../sessions/caller-record.ts";
import type { Account } from "../sessions/account.ts";
import type { Hold } from "../locks/hold.ts";
import type { Delay } from "../locks/lock.ts";
import type { Wait } from "../locks/wait.ts";
import { Digest } from "./digest.ts";
import type { SystemLimits } from "./limits.ts";
import type { ApplySink, TimerSink } from "./ports.ts";

/** Where records go just before they change or vanish while a snapshot is being cut (rule W8). */
export interface BeforeImages {
  hold(hold: Hold): void;
  /** The packed hold of this number is about to become an object or to end: no walk over those that are packed will meet it any more. */
  unpacking(id: number): void;
  wait(wait: Wait): void;
  session(account: Account): void;
  delay(delay: Delay): void;
  caller(record: CallerRecord): void;
}

/** What all parts of the state machine share while an entry is applied. */
export class Ledger {
  readonly limits: SystemLimits;
  /** Group time of the entry being applied (rule L3). */
  groupTime = 0;
  sink: ApplySink = nobody;
  /** Null on followers. */
  timers: TimerSink | null = null;
  /** Number of the newest snapshot. A record stamped with it is new, or already in that snapshot. */
  epoch = 1;
  images: BeforeImages | null = null;
  /** Sum over holds, waits, delays and sessions. */
  readonly digest: Digest = new Digest();

  constructor(limits: SystemLimits) {
    this.limits = limits;
  }
}

/** Stands in while nothing is applied. */
export const nobody: ApplySink = {
  answer: () => {},
  changed: () => {},
  isWatched: false,
};
