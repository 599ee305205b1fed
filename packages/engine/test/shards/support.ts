import { type GroupId, groupId } from "@trivet/core";
import type { ConsumeRequest, QueueSettings, StorageCommand, StorageOutcome, StorageQuery, StorageReply } from "@trivet/engine";
import {
  encodeUtf8,
  decodeUtf8,
  type Consume,
  type HandedOut,
  type NewMessage,
  type QueueDefinition,
  type ShardResult,
} from "@trivet/wire";
import { Cluster, Told } from "../hosts/cluster.ts";
import type { NodeHostConfig } from "@trivet/engine";

export const message = (body: string, overrides: Partial<NewMessage> = {}): NewMessage => ({
  key: "",
  body: encodeUtf8(body),
  headers: [],
  priority: 0,
  delayMs: 0,
  dueAt: 0,
  ttlMs: 0,
  dedupId: "",
  ...overrides,
});
export const text = ({ body }: HandedOut): string => decodeUtf8(body);

/** A consume that waits at its node. */
export const longPoll: ConsumeRequest = {
  queue: "orders",
  group: "g",
  consumer: "c",
  partition: null,
  maxMessages: 1,
  maxBytes: 0,
  visibilityMs: 0,
  waitMs: 60_000,
  autoAck: false,
  start: { type: "earliest" },
};

/** Of the one queue of a shard that is tried without its node. */
export const definition: QueueDefinition = {
  name: "q",
  version: 1,
  partitions: 1,
  visibilityMs: 1_000,
  maxDeliveries: 0,
  maxAcquired: 0,
  backoffMs: 0,
  maxMessages: 0,
  maxBytes: 0,
  ttlMs: 0,
  dedupeWindowMs: 0,
  maxLeased: 0,
  ratePerSecond: 0,
  paused: false,
};

export function consumption(queue: number, overrides: Partial<Consume> = {}): Consume {
  const numbers = { partition: 0, maxMessages: 1, maxBytes: 0, visibilityMs: 0 };
  const who = { group: "g", consumer: "c", autoAck: false, start: { type: "earliest" } } as const;
  return { type: "consume", queue, ...numbers, ...who, ...overrides };
}

/** A sharded cluster with one queue, asked at the level of its storage. */
export class Shards {
  readonly cluster: Cluster;
  queue = 0;

  constructor(size = 3, overrides: Partial<NodeHostConfig> = {}, bufferedBytes?: number, spansOf?: Cluster["spansOf"]) {
    this.cluster = Cluster.sharded(size, { shards: 4, ...overrides }, 1, bufferedBytes, spansOf);
    this.cluster.untilReady();
  }

  /** Every shard has one leader, which has an entry of its own term applied, on every node's word. */
  untilLed(): void {
    this.cluster.until("every shard has a leader", () => this.leaders().every((leader) => leader !== null), 30_000);
  }

  /** By shard number less one: who leads it; null = nobody, or nobody new. */
  leaders(): readonly (string | null)[] {
    const shards = 4;
    return Array.from({ length: shards }, (_, shard) => {
      const running = [...this.cluster.members.values()].filter(({ host }) => !host.isStopped && host.phase !== "failed");
      const led = running.filter(({ host, view }) => {
        const group = host.shards?.replica((shard + 1) as never)?.group;
        return view.alive && group?.isLeader === true && group.raft.termAt(group.appliedIndex) === group.term();
      });
      return led.length === 1 ? (led[0]?.host.config.node ?? null) : null;
    });
  }

  define(name: string, settings: Partial<QueueSettings> = {}): number {
    const outcome = this.cluster.submit("n1", { type: "define-queue", name, mode: "ensure", settings, principal: "test" }, 10_000);
    if (outcome.type !== "answered" || outcome.result.type !== "queue-defined") throw new Error(JSON.stringify(outcome));
    this.queue = outcome.result.queue;
    return this.queue;
  }

  begin(node: string, command: StorageCommand, timeoutMs = 10_000): Told<StorageOutcome> {
    const told = new Told<StorageOutcome>();
    const partition = "partition" in command ? command.partition : command.type === "settle" ? (command.receipts[0]?.partition ?? 0) : 0;
    const queue = "queue" in command ? command.queue : this.queue;
    this.cluster.member(node).host.queueStorage.submit({ queue, partition }, command, { timeoutMs }, told.hear);
    return told;
  }

  ask(node: string, command: StorageCommand): ShardResult {
    for (let attempt = 0; attempt < 20; attempt++) {
      const told = this.begin(node, command);
      this.cluster.until(`answer to ${command.type} at ${node}`, () => told.value !== null, 30_000);
      const outcome = told.value;
      if (outcome?.type !== "answered") throw new Error(JSON.stringify(outcome));
      const { result } = outcome;
      if (result.type === "malformed" || result.type === "refused") throw new Error(JSON.stringify(result));
      if (result.type !== "not-configured") return result;
      this.cluster.run(20);
    }
    throw new Error(`${command.type} at ${node}: never configured`);
  }

  produce(node: string, ...bodies: readonly string[]): readonly number[] {
    const messages = bodies.map((body) => message(body));
    const result = this.ask(node, { type: "produce", queue: this.queue, partition: 0, version: 1, messages, ifFence: null });
    if (result.type !== "produced") throw new Error(JSON.stringify(result));
    return result.messages.map(({ sequence }) => sequence);
  }

  consume(node: string, maxMessages = 100, overrides: { readonly visibilityMs?: number } = {}): readonly HandedOut[] {
    const result = this.ask(node, consumption(this.queue, { maxMessages, ...overrides }));
    if (result.type !== "handed-out") throw new Error(JSON.stringify(result));
    return result.messages;
  }

  ack(node: string, messages: readonly HandedOut[]): readonly string[] {
    const receipts = messages.map(({ partition, sequence, acquired, incarnation }) => ({ partition, sequence, acquired, incarnation }));
    const result = this.ask(node, { type: "settle", queue: this.queue, group: "g", settlement: "ack", delayMs: 0, reason: "", receipts });
    if (result.type !== "settled") throw new Error(JSON.stringify(result));
    return result.outcomes;
  }

  query(node: string, query: StorageQuery): StorageReply {
    const told = new Told<StorageReply>();
    this.cluster.member(node).host.queueStorage.query(query, 5_000, told.hear);
    this.cluster.until("answer to a query", () => told.value !== null, 30_000);
    if (told.value === null) throw new Error("no answer");
    return told.value;
  }
}

/** A cluster whose queue has one message; the shard that keeps it, and who leads that. */
export interface Begun {
  readonly shards: Shards;
  readonly cluster: Cluster;
  readonly group: GroupId;
  readonly leader: string;
}

export function withMessage(size = 3, overrides: Partial<NodeHostConfig> = {}): Begun {
  const shards = new Shards(size, overrides);
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  const group = groupId(1 + (shards.queue % 4));
  return { shards, cluster: shards.cluster, group, leader: shards.leaders()[group - 1] ?? "n1" };
}
