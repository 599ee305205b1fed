import type { ApplySink, LogIndex, SystemEvent } from "@trivet/core";
import type { Result } from "@trivet/wire";
import type { FrameOutbox } from "../calls/frame-outbox.ts";

type Watcher = (event: SystemEvent, index: LogIndex) => void;

/** Where apply's answers and events go on this node: answers to callers that wait here, events to whoever watches here. */
export class NodeApplySink implements ApplySink {
  private readonly outbox: FrameOutbox<Result>;
  private readonly appliedIndex: () => LogIndex | null;
  private readonly watchers = new Set<Watcher>();

  constructor(outbox: FrameOutbox<Result>, appliedIndex: () => LogIndex | null) {
    this.outbox = outbox;
    this.appliedIndex = appliedIndex;
  }

  answer(caller: string, sequence: number, result: Result, fingerprint: string, notAfter: number): void {
    this.outbox.answer(caller, sequence, result, fingerprint, notAfter);
  }

  changed(event: SystemEvent): void {
    if (this.watchers.size === 0) return;
    const index = this.appliedIndex();
    if (index !== null) for (const watcher of this.watchers) watcher(event, index);
  }

  get isWatched(): boolean {
    return this.watchers.size > 0;
  }

  /** Returns what ends the watch. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}
