import {
  MemoryTelemetry,
  type KeptOutcome,
  type QueueStorage,
  type StorageCommand,
  type StorageOptions,
  type StorageOutcome,
  type StorageQuery,
  type StorageReply,
} from "@trivet/engine";
import type { Consume, HandedOut, NewMessage, Produce, QueueDefinition, Settle, SettleOutcome } from "@trivet/wire";
import { NodeClock } from "../../../src/adapters/clock.ts";
import { NodeRandom } from "../../../src/adapters/random.ts";
import { defaultRedisOptions, type RedisOptions, RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { type RedisServer, until } from "./redis-server.ts";

export interface Opened {
  readonly storage: RedisQueueStorage;
  readonly telemetry: MemoryTelemetry;
}

export function openStorage(options: Partial<RedisOptions> & Pick<RedisOptions, "nodes">): Opened {
  const telemetry = new MemoryTelemetry();
  const all = { ...defaultRedisOptions, node: "node1", ...options };
  return { telemetry, storage: new RedisQueueStorage(all, { clock: new NodeClock(), random: new NodeRandom(), telemetry }) };
}

/** A storage on one server, connected. */
export async function storageAt(server: RedisServer, options: Partial<RedisOptions> = {}): Promise<Opened> {
  const opened = openStorage({ nodes: [{ host: "127.0.0.1", port: server.port }], ...options });
  await until(async () => opened.storage.isUp);
  return opened;
}

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

/** One queue of a storage, called as the service calls it. Throws where an outcome is not the one that is asked for. */
export class Bench {
  readonly storage: QueueStorage;
  readonly queue: number;
  private version = 0;

  constructor(storage: QueueStorage, queue: number, fields: Partial<QueueDefinition> = {}) {
    this.storage = storage;
    this.queue = queue;
    this.configure(fields);
  }

  configure(fields: Partial<QueueDefinition> = {}): void {
    this.storage.configure(this.queue, { ...definition, name: `orders-${this.queue}`, ...fields, version: ++this.version });
  }

  submit(command: StorageCommand, options: StorageOptions = { timeoutMs: 10_000 }): Promise<StorageOutcome> {
    const partition = "partition" in command ? command.partition : 0;
    return new Promise((resolve) => void this.storage.submit({ queue: this.queue, partition }, command, options, resolve));
  }

  async answer(command: StorageCommand): Promise<Extract<StorageOutcome, { readonly type: "answered" }>["result"]> {
    const outcome = await this.submit(command);
    if (outcome.type !== "answered") throw new Error(JSON.stringify(outcome));
    return outcome.result;
  }

  query(query: StorageQuery): Promise<StorageReply> {
    return new Promise((resolve) => this.storage.query(query, 10_000, resolve));
  }

  request(requestId: string): Promise<KeptOutcome> {
    return new Promise((resolve) => {
      if (this.storage.request === undefined) throw new Error("this storage keeps no answers");
      this.storage.request(requestId, 10_000, resolve);
    });
  }

  production(messages: readonly Partial<NewMessage>[], fields: Partial<Produce> = {}): Produce {
    const { queue } = this;
    return { type: "produce", queue, partition: 0, version: 1, messages: messages.map(message), ifFence: null, ...fields };
  }

  async produce(...messages: readonly Partial<NewMessage>[]): Promise<number[]> {
    const result = await this.answer(this.production(messages));
    if (result.type !== "produced") throw new Error(JSON.stringify(result));
    return result.messages.map(({ sequence }) => sequence);
  }

  consumption(fields: Partial<Consume> = {}): Consume {
    const numbers = { maxMessages: 100, maxBytes: 0, visibilityMs: 0 };
    const who = { group: "g", consumer: "c", autoAck: false, start: { type: "earliest" } } as const;
    return { type: "consume", queue: this.queue, partition: 0, ...who, ...numbers, ...fields };
  }

  async consume(fields: Partial<Consume> = {}): Promise<readonly HandedOut[]> {
    const result = await this.answer(this.consumption(fields));
    if (result.type !== "handed-out") throw new Error(JSON.stringify(result));
    return result.messages;
  }

  async take(maxMessages = 100, fields: Partial<Consume> = {}): Promise<number[]> {
    return (await this.consume({ maxMessages, ...fields })).map(({ sequence }) => sequence);
  }

  async settle(settlement: Settle["settlement"], sequence: number, acquired = 1, fields: Partial<Settle> = {}): Promise<SettleOutcome> {
    // The first group of a partition, unless told otherwise.
    const receipts = [{ partition: 0, sequence, acquired, incarnation: 1 }];
    const command: Settle = { type: "settle", queue: this.queue, group: "g", settlement, delayMs: -1, reason: "why", receipts, ...fields };
    const result = await this.answer(command);
    if (result.type !== "settled" || result.outcomes[0] === undefined) throw new Error(JSON.stringify(result));
    return result.outcomes[0];
  }
}
