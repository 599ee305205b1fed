import {
  type Consume,
  type HandedOut,
  type NewMessage,
  newestRules,
  type Produce,
  type QueueDefinition,
  type Settle,
  type SettleOutcome,
  type ShardCommand,
} from "@trivet/wire";
import { checkPartition } from "../../../src/invariants/queues.ts";
import type { ShardAnswer } from "../../../src/queues/answer.ts";
import { keyOf, tables } from "../../../src/queues/keys.ts";
import { defaultShardLimits, type ShardLimits } from "../../../src/queues/limits.ts";
import { decodeGroupRecord, type GroupRecord, type Waiting } from "../../../src/queues/records.ts";
import { type CommandOrigin, QueueShard } from "../../../src/queues/shard.ts";
import type { LeaseId } from "../../../src/queues/sinks.ts";
import { MemoryView } from "./memory-view.ts";

export const queue = 7;

export const definition: QueueDefinition = {
  name: "orders",
  version: 1,
  partitions: 2,
  visibilityMs: 30_000,
  maxDeliveries: 0,
  maxAcquired: 0,
  backoffMs: 0,
  maxMessages: 0,
  maxBytes: 0,
  ttlMs: 0,
  dedupeWindowMs: 60_000,
  maxLeased: 0,
  ratePerSecond: 0,
  paused: false,
};

export function message(fields: Partial<NewMessage> = {}): NewMessage {
  const body = new Uint8Array([1, 2, 3]);
  return { key: "", body, headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "", ...fields };
}

/** A shard over memory with one queue, and what it told. */
export class Bench {
  readonly view: MemoryView = new MemoryView();
  readonly leases: Map<string, number> = new Map();
  readonly told: string[] = [];
  now = 1000;
  shard: QueueShard;
  private readonly limits: ShardLimits;
  private version = 0;

  constructor(fields: Partial<QueueDefinition> = {}, limits: Partial<ShardLimits> = {}, rules = newestRules) {
    this.limits = { ...defaultShardLimits, ...limits };
    this.shard = this.open();
    if (rules > 0) this.do({ type: "adopt-rules", rules }, "leader");
    this.configure(fields);
  }

  /** As after a restart: everything is in the store. */
  reopen(): void {
    this.shard = this.open();
  }

  configure(fields: Partial<QueueDefinition> = {}): ShardAnswer {
    return this.do({ type: "configure-queue", queue, definition: { ...definition, ...fields, version: ++this.version } }, "leader");
  }

  do(command: ShardCommand, origin: CommandOrigin = "caller"): ShardAnswer {
    this.shard.beginEntry(this.now);
    return this.shard.execute(command, origin);
  }

  /** Group time goes on, and entries come, until nothing is due. */
  pass(ms: number, entries = 1): void {
    this.now += ms;
    for (let left = entries; left > 0; left--) this.shard.beginEntry(this.now);
  }

  produce(...messages: readonly Partial<NewMessage>[]): number[] {
    const answer = this.tryProduce({}, ...messages);
    if (answer.type !== "produced") throw new Error(JSON.stringify(answer));
    return answer.messages.map(({ sequence }) => sequence);
  }

  tryProduce(fields: Partial<Produce>, ...messages: readonly Partial<NewMessage>[]): ShardAnswer {
    return this.do({ type: "produce", queue, partition: 0, version: 1, messages: messages.map(message), ifFence: null, ...fields });
  }

  tryConsume(fields: Partial<Consume> = {}): ShardAnswer {
    return this.do(consumption(fields));
  }

  consume(fields: Partial<Consume> = {}): readonly HandedOut[] {
    const answer = this.tryConsume(fields);
    if (answer.type !== "handed-out") throw new Error(JSON.stringify(answer));
    return answer.messages;
  }

  /** Sequences handed out. */
  take(maxMessages = 100, fields: Partial<Consume> = {}): number[] {
    return this.consume({ maxMessages, ...fields }).map(({ sequence }) => sequence);
  }

  settle(settlement: Settle["settlement"], sequence: number, acquired = 1, fields: Partial<Settle> = {}): SettleOutcome {
    const receipts = [{ partition: 0, sequence, acquired, incarnation: this.incarnation(fields.group ?? "g") }];
    const answer = this.do({ type: "settle", queue, group: "g", settlement, delayMs: -1, reason: "why", receipts, ...fields });
    if (answer.type !== "settled") throw new Error(JSON.stringify(answer));
    return answer.outcomes[0] as SettleOutcome;
  }

  expire(sequence: number, acquired = 1, group = "g", extended = 0): ShardAnswer {
    return this.do(
      {
        type: "expire-leases",
        leases: [{ queue, group, receipt: { partition: 0, sequence, acquired, incarnation: this.incarnation(group) }, extended }],
      },
      "leader",
    );
  }

  /** Of the group that has the name now, in the first partition; 0 = there is none. */
  private incarnation(group: string): number {
    return this.stored(group)?.id ?? 0;
  }

  /** What the group is told of when it is there, in the first partition. */
  waiting(group: string): Waiting | undefined {
    return this.stored(group)?.waiting;
  }

  private stored(group: string): GroupRecord | undefined {
    const stored = this.view.get(keyOf(tables.group, queue, 0, group));
    return stored === undefined ? undefined : decodeGroupRecord(stored);
  }

  /** Throws where the store contradicts itself. */
  check(): void {
    for (const partition of [0, 1]) checkPartition(this.view, queue, partition);
  }

  private open(): QueueShard {
    const sink = {
      leased: (id: LeaseId, leaseMs: number): void => void this.leases.set(nameOf(id), leaseMs),
      ended: (id: LeaseId): void => void this.leases.delete(nameOf(id)),
    };
    return new QueueShard(this.view, sink, { ready: (_queue, partition, group) => this.told.push(`${partition}/${group}`) }, this.limits);
  }
}

export function consumption(fields: Partial<Consume> = {}): Consume {
  const numbers = { maxMessages: 1, maxBytes: 0, visibilityMs: 0 };
  return {
    type: "consume",
    queue,
    partition: 0,
    group: "g",
    consumer: "c",
    autoAck: false,
    start: { type: "earliest" },
    ...numbers,
    ...fields,
  };
}

export function nameOf({ partition, group, sequence, acquired }: LeaseId): string {
  return `${partition}/${group}/${sequence}#${acquired}`;
}
