import {
  decodeMembershipPayload,
  type Entry,
  type LeaseId,
  type Membership,
  type PartitionCounts,
  checkPartition,
  QueueShard,
  type ShardAnswer,
} from "@trivet/core";
import { emptyMark, MemoryClock, MemoryOrderedStores, type OrderedStore, type StoreMark, writeMark } from "@trivet/engine";
import { CodecError, EntryPayloadCursor, FrameCursor, type FrameHeader, type ShardCommand } from "@trivet/wire";

import type { FenceWatch } from "./fence-watch.ts";
import { requestKey } from "./golden-log.ts";
import type { GoldenReplica } from "./group-watcher.ts";

/** A command as it stands in the committed log of a shard, with what apply said to it there. */
export interface ShardStep {
  readonly shard: number;
  /** `caller/sequence`; empty for a leader's own. */
  readonly request: string;
  readonly command: ShardCommand;
  readonly answer: ShardAnswer;
  readonly index: number;
  /** Virtual time at which any node first knew it committed. */
  readonly at: number;
  /** Leases that the entry ended by this command, where no answer says so. */
  readonly ended: readonly LeaseId[];
}

/**
 * The committed log of one shard, applied entry by entry to a store that never fails, by a plain walk that shares nothing with the apply worker
 * but the state machine itself.
 */
export class GoldenShard implements GoldenReplica {
  readonly shard: number;
  wrong: string | null = null;
  /** In the order of the log. Copies of a request are steps too. */
  readonly steps: ShardStep[] = [];
  /** First answer to each request that is neither a refusal nor for want of a definition. */
  readonly answers: Map<string, ShardStep> = new Map();
  /** Entries of the log that carried a request again. */
  repeats = 0;
  private readonly fences: FenceWatch;
  private readonly store: OrderedStore;
  private readonly clock = new MemoryClock();
  private readonly hashes: string[] = [];
  private readonly entry = new EntryPayloadCursor();
  private readonly frame = new FrameCursor();
  private mark: StoreMark = emptyMark;
  private ended: LeaseId[] = [];

  constructor(shard: number, fences: FenceWatch) {
    this.shard = shard;
    this.fences = fences;
    let opened: OrderedStore | undefined;
    new MemoryOrderedStores(this.clock).open("golden", (_error, store) => {
      opened = store;
    });
    this.clock.runUntilIdle();
    if (opened === undefined) throw new Error("a store in memory does not open");
    this.store = opened;
  }

  append({ index, term, kind, payload }: Entry, at: number): void {
    const isConfig = kind === "config";
    const membership = isConfig ? decodeMembershipPayload(payload) : this.mark.membership;
    this.mark = { index, term, membership, membershipIndex: isConfig ? index : this.mark.membershipIndex };
    this.store.write((view) => {
      if (kind === "command") {
        this.ended = [];
        const leases = { leased: (): void => {}, ended: (id: LeaseId) => void this.ended.push(id) };
        this.apply(new QueueShard(view, leases, { ready: () => {} }), payload, index, at);
      }
      writeMark(view, this.mark);
    });
    this.hashes.push(this.store.contentHash());
    // Nothing is taken back here: what would undo the commits need not be kept.
    if (index % 64 === 0) {
      this.store.flush(() => {});
      this.clock.runUntilIdle();
    }
  }

  /** The newest committed configuration. */
  get membership(): Membership | null {
    return this.mark.membership;
  }

  hashAt(index: number): string | null {
    return this.hashes[index - 1] ?? null;
  }

  get lastIndex(): number {
    return this.hashes.length;
  }

  /** The state's own invariants (core), over all of a partition. */
  check(queue: number, partition: number): void {
    this.store.read((view) => checkPartition(view, queue, partition));
  }

  stats(queue: number, partition: number): PartitionCounts {
    return this.look((shard) => shard.stats(queue, partition));
  }

  look<T>(ask: (shard: QueueShard) => T): T {
    return this.store.read((view) => ask(new QueueShard(view, { leased: () => {}, ended: () => {} }, { ready: () => {} })));
  }

  private apply(shard: QueueShard, payload: Uint8Array, index: number, at: number): void {
    const { entry, frame } = this;
    entry.open(payload);
    shard.beginEntry(entry.groupTime);
    while (entry.next()) {
      const header = frame.open(payload, entry.frameStart, entry.frameEnd);
      const admission = header.caller === "" ? null : shard.admit(header);
      while (frame.next()) {
        const { sequence } = frame;
        const command = this.decode();
        if (command === null) continue;
        this.ended = [];
        const answer =
          admission === null
            ? shard.execute(command, "leader")
            : "type" in admission
              ? admission
              : shard.once(admission, sequence, command);
        this.note(header, sequence, command, answer, index, at);
      }
    }
  }

  private note({ caller }: FrameHeader, sequence: number, command: ShardCommand, answer: ShardAnswer, index: number, at: number): void {
    const request = caller === "" ? "" : requestKey(caller, sequence);
    const step: ShardStep = { shard: this.shard, request, command, answer, index, at, ended: this.ended };
    if (request === "" || !this.answers.has(request)) this.fences.judge(command, answer, index);
    if (request === "") {
      this.steps.push(step);
      return;
    }
    const first = this.answers.get(request);
    if (first !== undefined) {
      this.repeats += 1;
      if (!repeats(first.answer, answer)) {
        this.wrong ??= `entry ${index}: ${request} was answered ${describe(first.answer)} at ${first.index}, and now ${describe(answer)}`;
      }
      return;
    }
    this.steps.push(step);
    if (answer.type !== "refused" && answer.type !== "not-configured" && answer.type !== "no-namespace") this.answers.set(request, step);
  }

  private decode(): ShardCommand | null {
    try {
      return this.frame.decodeShard();
    } catch (error) {
      if (error instanceof CodecError) return null;
      throw error;
    }
  }
}

/** May a copy of a request be answered so? As the first was; of a hand-out, with what it still holds. */
function repeats(first: ShardAnswer, second: ShardAnswer): boolean {
  if (second.type === "refused") return true;
  if (first.type !== "handed-out" || second.type !== "handed-out") return describe(first) === describe(second);
  return second.messages.every((message) =>
    first.messages.some(({ sequence, acquired }) => sequence === message.sequence && acquired === message.acquired),
  );
}

function describe(answer: ShardAnswer): string {
  return JSON.stringify(answer, (name, value: unknown) => (name === "body" ? "…" : value));
}
