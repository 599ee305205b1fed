import { invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import type { HardState } from "./types.ts";

interface PendingWrite {
  readonly write: number;
  /** Last log index that is durable once this write is; lowered by a later truncation. */
  index: LogIndex;
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly at: number;
}

/**
 * Follows what was handed to the disk and what came back: accepted (the log's last index) ≥ submitted ≥ flushed. Term, vote and
 * entries are one ordered stream of numbered writes, so "durable up to write n" says everything.
 */
export class WriteCursors {
  /** Last index handed out to be written. */
  submitted: LogIndex;
  /** Last index known to be durable, and to hold what the log holds now. */
  flushed: LogIndex;
  durableTerm: Term;
  durableVote: NodeId | null;
  private lastWrite = 0;
  private durableWrite = 0;
  private readonly pending: PendingWrite[] = [];

  constructor(last: LogIndex, hardState: HardState) {
    this.submitted = last;
    this.flushed = last;
    this.durableTerm = hardState.term;
    this.durableVote = hardState.vote;
  }

  /** When the oldest write that is not durable was handed out; null = none. */
  get oldestPendingAt(): number | null {
    return this.pending[0]?.at ?? null;
  }

  /** Numbers a write that is about to be handed out. */
  submit(last: LogIndex, term: Term, vote: NodeId | null, now: number): number {
    invariant(last >= this.flushed, "raft-submitted-behind-flushed", () => `${last} < ${this.flushed}`);
    this.submitted = last;
    this.pending.push({ write: ++this.lastWrite, index: last, term, vote, at: now });
    return this.lastWrite;
  }

  /** Returns false when nothing new became durable. */
  durable(write: number): boolean {
    invariant(write <= this.lastWrite, "raft-durable-unknown-write", () => `${write} of ${this.lastWrite}`);
    if (write <= this.durableWrite) return false;
    this.durableWrite = write;
    let done = 0;
    for (const record of this.pending) {
      if (record.write > write) break;
      done++;
      if (record.index > this.flushed) this.flushed = record.index;
      this.durableTerm = record.term;
      this.durableVote = record.vote;
    }
    this.pending.splice(0, done);
    return true;
  }

  /**
   * Entries from `from` on are void. A write still under way may hold them, and its completion must not be credited to the entries
   * that took their place: index equality across terms proves nothing (mutant 10, the ABA race).
   */
  truncated(from: LogIndex): void {
    const last = logIndex(from - 1);
    if (this.submitted > last) this.submitted = last;
    if (this.flushed > last) this.flushed = last;
    if (mutant("raft-10-stale-durable-credited")) return;
    for (const record of this.pending) if (record.index > last) record.index = last;
  }

  /** The log now begins after an installed snapshot. */
  installed(index: LogIndex, keptSuffix: boolean): void {
    if (!keptSuffix) this.truncated(logIndex(index + 1));
    if (this.submitted < index) this.submitted = index;
    if (this.flushed < index) this.flushed = index;
  }
}
