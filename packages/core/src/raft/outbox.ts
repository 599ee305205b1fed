import { logIndex } from "../kernel/brand.ts";
import type { LogIndex } from "../kernel/brand.ts";
import type { Entry, HardState, RaftEffects, RaftMessage, RaftNotice, SnapshotEffect } from "./types.ts";

export interface ReadAnswer {
  readonly context: number;
  readonly index: LogIndex;
}

/**
 * What the steps since the last `takeEffects` ask of the host. Two ways out for messages: `now`, and `durable` for those that speak of
 * term, vote or entries and must not overtake them to the disk (mutants 2 and 8).
 */
export class Outbox {
  now: RaftMessage[] = [];
  durable: RaftMessage[] = [];
  reads: ReadAnswer[] = [];
  snapshots: SnapshotEffect[] = [];
  notices: RaftNotice[] = [];
  /** Term or vote changed. */
  hardState = false;
  /** 0 = the commit index did not move. */
  commit: LogIndex = logIndex(0);
  /** Lowest index that was cut off after having been handed out; 0 = none. */
  truncateFrom: LogIndex = logIndex(0);
  /** There may be something to send that is only put together by `takeEffects`. */
  stirred = false;

  get empty(): boolean {
    return (
      !this.stirred &&
      !this.hardState &&
      this.commit === 0 &&
      this.truncateFrom === 0 &&
      this.now.length === 0 &&
      this.durable.length === 0 &&
      this.reads.length === 0 &&
      this.snapshots.length === 0 &&
      this.notices.length === 0
    );
  }

  refuseReads(contexts: readonly number[]): void {
    for (const context of contexts) this.reads.push({ context, index: logIndex(0) });
  }

  /** Hands out the collected effects and starts afresh. */
  take(write: number, hardState: HardState | null, append: readonly Entry[]): RaftEffects {
    const effects: RaftEffects = {
      write,
      hardState,
      truncateFrom: this.truncateFrom,
      append,
      sendNow: this.now,
      sendDurable: this.durable,
      commit: this.commit,
      reads: this.reads,
      snapshots: this.snapshots,
      notices: this.notices,
    };
    if (this.now.length > 0) this.now = [];
    if (this.durable.length > 0) this.durable = [];
    if (this.reads.length > 0) this.reads = [];
    if (this.snapshots.length > 0) this.snapshots = [];
    if (this.notices.length > 0) this.notices = [];
    this.hardState = false;
    this.commit = logIndex(0);
    this.truncateFrom = logIndex(0);
    this.stirred = false;
    return effects;
  }
}
