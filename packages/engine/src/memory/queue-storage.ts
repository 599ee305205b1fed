import { type LeaseId, QueueShard, type ShardAnswer } from "@trivet/core";
import { type FrameHeader, type QueueDefinition, formatRequestId, newestRules } from "@trivet/wire";
import type { Submission, SubmitOptions } from "../node/node-api.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { QueueStorage, StorageCommand, StorageOutcome, StorageQuery, StorageReply } from "../ports/queue-storage.ts";
import { SortedView } from "./sorted-view.ts";

type ReadyListener = (queue: number, partition: number, group: string) => void;

/**
 * Queues in memory, all in one shard: the state machine of the embedded storage without its log. Each call is an entry of its own; leases run
 * on the clock's timers, calendar deadlines on its wall time.
 */
export class MemoryQueueStorage implements QueueStorage {
  readonly backend = "memory";
  private readonly clock: Clock;
  private readonly shard: QueueShard;
  private readonly timers: Map<string, Timer> = new Map();
  private readonly listeners: Set<ReadyListener> = new Set();
  /** Told by the entry under way. */
  private ready: Parameters<ReadyListener>[] = [];
  private calendar: Timer | null = null;
  private requests = 0;

  constructor(clock: Clock) {
    this.clock = clock;
    const leases = {
      leased: (id: LeaseId, leaseMs: number): void => this.lease(id, leaseMs),
      ended: (id: LeaseId): void => this.endLease(id),
    };
    const ready = { ready: (...hint: Parameters<ReadyListener>): void => void this.ready.push(hint) };
    this.shard = new QueueShard(new SortedView(), leases, ready);
    this.shard.execute({ type: "adopt-rules", rules: newestRules }, "leader");
  }

  submit(
    _place: { readonly queue: number; readonly partition: number },
    command: StorageCommand,
    options: SubmitOptions,
    done: (outcome: StorageOutcome) => void,
  ): Submission {
    const notAfter = Math.ceil(this.clock.wallNow()) + options.timeoutMs;
    const caller = options.idempotency?.key ?? "memory";
    const requestId = formatRequestId({ group: 1, caller, sequence: ++this.requests, notAfter });
    this.clock.defer(() => {
      const result = this.entry(() => this.run(command, notAfter, options));
      done({ type: "answered", result, requestId, durability: "memory" });
    });
    return { requestId, abandon: () => undefined };
  }

  query(query: StorageQuery, _timeoutMs: number, done: (reply: StorageReply) => void): void {
    this.clock.defer(() => {
      if (query.type === "stats") {
        return done({ type: "stats", stats: { ...this.shard.stats(query.queue, query.partition), leader: "" } });
      }
      const { queue, partition, state, cursor, limit } = query;
      return done({ type: "browsed", ...this.shard.browse(queue, partition, state, cursor, limit) });
    });
  }

  configure(queue: number, definition: QueueDefinition | null): void {
    this.entry(() =>
      this.shard.execute(
        definition === null ? { type: "drop-queue", queue, version: 0 } : { type: "configure-queue", queue, definition },
        "leader",
      ),
    );
  }

  watchReady(listener: ReadyListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  private run(command: StorageCommand, notAfter: number, { idempotency }: SubmitOptions): ShardAnswer {
    if (idempotency === undefined) return this.shard.execute(command, "caller");
    const { key: caller, fingerprint } = idempotency;
    const header: FrameHeader = { caller, fingerprint, notAfter, ackedUpTo: 0, firstSequence: 1, count: 1, ordered: false, bodyStart: 0 };
    const admission = this.shard.admit(header);
    return "type" in admission ? admission : this.shard.once(admission, 1, command);
  }

  private entry<T>(change: () => T): T {
    this.shard.beginEntry(Math.floor(this.clock.wallNow()));
    const result = change();
    const told = this.ready;
    this.ready = [];
    if (told.length > 0) {
      this.clock.defer(() => {
        for (const hint of told) for (const listener of this.listeners) listener(...hint);
      });
    }
    this.setCalendar();
    return result;
  }

  /** The earliest deadline makes an entry, should no call come before it. */
  private setCalendar(): void {
    this.calendar?.cancel();
    const next = this.shard.nextDeadline();
    this.calendar = next === 0 ? null : this.clock.schedule(Math.max(0, next - this.clock.wallNow()), () => this.entry(() => undefined));
  }

  private lease(id: LeaseId, leaseMs: number): void {
    this.endLease(id);
    const { queue, group, incarnation, partition, sequence, acquired, extended } = id;
    const run = (): void => {
      this.timers.delete(nameOf(id));
      const leases = [{ queue, group, receipt: { partition, sequence, acquired, incarnation }, extended }];
      this.entry(() => this.shard.execute({ type: "expire-leases", leases }, "leader"));
    };
    this.timers.set(nameOf(id), this.clock.schedule(leaseMs, run));
  }

  private endLease(id: LeaseId): void {
    const name = nameOf(id);
    this.timers.get(name)?.cancel();
    this.timers.delete(name);
  }
}

function nameOf({ queue, partition, incarnation, sequence, acquired }: LeaseId): string {
  return `${queue}/${partition}/${incarnation}/${sequence}#${acquired}`;
}
