import { type Command, type DefinedQueue, type DefineQueue, type QueueSettings, type Result, limits } from "@trivet/wire";
import { TrivetError, errorOf } from "../errors.ts";
import { shownAs } from "../shown.ts";
import { type ClientSpan, ended } from "../tracing/tracing.ts";
import type { QueueCodec } from "./codec.ts";
import { type ConsumeOptions, checkGroup, consumeSettings } from "./consume-options.ts";
import { Consumer } from "./consumer.ts";
import { inEveryPartition } from "./groups.ts";
import type { Message } from "./message.ts";
import { type MessageOptions, type ProduceCall, type ProduceOptions, fenceOf, newMessage } from "./new-message.ts";
import type { Produced } from "./producer.ts";
import { madeBy, processing, producedAll, producedAs, sending } from "./queue-spans.ts";
import type { Queues } from "./queues.ts";
import { raiseFenceIn } from "./raise-fence.ts";
import { type MessageHandler, Worker, type WorkerOptions } from "./worker.ts";

/** A queue as its definition is now. */
export interface QueueInfo {
  readonly name: string;
  /** Its number: the order of creation, never used again. */
  readonly queue: number;
  readonly version: number;
  readonly settings: QueueSettings;
  /** Group time, Unix milliseconds. */
  readonly createdAt: number;
}

/** What a queue needs of its connection. */
export interface QueueConnection {
  execute(command: Command): Promise<Result>;
  /** The answer of a node to `GET path`. */
  get(path: string): Promise<unknown>;
}

/** A queue by name: nothing is asked before something is done with it. */
export class Queue<T> {
  readonly name: string;
  private readonly connection: QueueConnection;
  private readonly queues: Queues;
  private readonly codec: QueueCodec<T>;

  constructor(name: string, connection: QueueConnection, queues: Queues, codec: QueueCodec<T>) {
    if (name === "" || Buffer.byteLength(name) > limits.maxNameBytes)
      throw new TrivetError("bad_request", `The name of a queue has 1 to ${limits.maxNameBytes} bytes`);
    this.name = name;
    this.connection = connection;
    this.queues = queues;
    this.codec = codec;
    shownAs(this, () => `Queue { ${JSON.stringify(name)} }`);
  }

  /**
   * Stores a message; resolves when it is as safe as the storage makes it. The queue comes into being if need be. Rejects with QueueFullError,
   * FenceBehindError, UnavailableError (nothing was stored) or OutcomeUnknownError (it may be, or may yet be: a `dedupId` makes it safe to try again).
   */
  produce(body: T, options: ProduceOptions = {}): Promise<Produced> {
    try {
      const message = newMessage(this.codec, body, options);
      const timeoutMs = options.timeoutMs ?? this.queues.timeoutMs;
      const fence = fenceOf(options.ifFence);
      const producer = this.queues.producer(this.name);
      if (!this.queues.tracing.isOn) return producer.produce(message, fence, timeoutMs, options.signal);
      const span = sending(this.queues.tracing, this.name, 1);
      const [made = message] = madeBy(span, [message], () => true);
      return ended(span, producer.produce(made, fence, timeoutMs, options.signal, span.traces), producedAs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Stores several, in this order where they go to one partition. Those of one partition are stored all or none, up to 1024 or 512 KiB. */
  async produceMany(messages: readonly (MessageOptions & { readonly body: T })[], call: ProduceCall = {}): Promise<readonly Produced[]> {
    // Checked first: none is sent when one cannot be.
    const encoded = messages.map(({ body, ...options }) => newMessage(this.codec, body, options));
    const fence = fenceOf(call.ifFence);
    const producer = this.queues.producer(this.name);
    const { tracing } = this.queues;
    const span = tracing.isOn && encoded.length > 0 ? sending(tracing, this.name, encoded.length) : null;
    const made = span === null ? encoded : madeBy(span, encoded, (traced) => producer.fit(traced) || !producer.fit(encoded));
    producer.makeRoom(made);
    const timeoutMs = call.timeoutMs ?? this.queues.timeoutMs;
    const produced = made.map((message) => producer.produce(message, fence, timeoutMs, call.signal, span?.traces ?? null));
    return ended(span, Promise.all(produced), producedAll);
  }

  /**
   * Shuts out who held the lock before: from here on nothing under a lower fence of it is stored in this queue (rule K5). Whoever was granted the lock does this
   * before its first read. The queue comes into being if need be. Rejects with FenceBehindError when a later holder was here; after any other error: again.
   *
   * @example
   * await trivet.locks.with("ledger", {}, async (lock) => {
   *   await queue.raiseFence(lock);
   *   await queue.produce(await nextEntry(), { ifFence: lock });
   * });
   */
  async raiseFence(lock: { readonly name: string; readonly fence: bigint }, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await raiseFenceIn(this.queues, this.name, lock, options.timeoutMs ?? this.queues.timeoutMs);
  }

  /**
   * Messages of a group, for ever. Settle each with `ack`, `nack`, `release` or `dead`; leaving the loop releases those in hand that are not.
   *
   * @example
   * for await (const message of trivet.queue<Order>("orders").consume({ group: "billing", credit: 100 })) {
   *   await bill(message.body);
   *   await message.ack();
   * }
   */
  consume(options: ConsumeOptions = {}): Consumer<T> {
    return new Consumer<T>(this.name, this.queues, this.codec, consumeSettings(options, this.queues.label));
  }

  /** Calls `handler` with each message, up to `concurrency` at a time: acknowledged when it returns, given back as failed when it throws. */
  worker(handler: MessageHandler<T>, options: WorkerOptions = {}): Worker<T> {
    const concurrency = options.concurrency ?? 1;
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw new TrivetError("bad_request", "concurrency must be a whole number from 1");
    const consumer = this.consume({ ...options, credit: options.credit ?? 2 * concurrency });
    const { tracing } = this.queues;
    const span = (message: Message<T>): ClientSpan | null =>
      tracing.isOn ? processing(tracing, this.name, consumer.settings.group, message) : null;
    return new Worker<T>(consumer, handler, options, span);
  }

  /**
   * Makes a group that keeps everything from its start on, before it has a consumer: "earliest" (default) or only what is produced from now
   * on. Leaves a group that is there as it is. The queue comes into being if need be. True = some partition did not have it.
   */
  async createGroup(group: string, options: { readonly start?: "earliest" | "latest" } = {}): Promise<boolean> {
    checkGroup(group);
    const start = { type: options.start ?? "earliest" } as const;
    return (await inEveryPartition(this.queues, this.name, { type: "create-group", group, start }, true)) > 0;
  }
  /** Deletes a group with what is in the hands of its consumers. False = there was none. */
  async deleteGroup(group: string): Promise<boolean> {
    checkGroup(group);
    return (await inEveryPartition(this.queues, this.name, { type: "delete-group", group }, false)) > 0;
  }

  /** Makes the queue. Rejects with `queue_exists` when it is there. Settings left out are those of the node (`QUEUE_*`), or their defaults. */
  create(settings: Partial<QueueSettings> = {}): Promise<QueueInfo> {
    return this.define("create", settings);
  }
  /** Makes the queue, or gives the one that is there these settings. */
  ensure(settings: Partial<QueueSettings> = {}): Promise<QueueInfo> {
    return this.define("ensure", settings);
  }
  /** Changes settings; `partitions` is fixed. Rejects with `queue_unknown` when there is no such queue. */
  update(settings: Partial<QueueSettings>): Promise<QueueInfo> {
    return this.define("update", settings);
  }

  /** Deletes the queue with all its messages. */
  async delete(): Promise<void> {
    const result = await this.connection.execute({ type: "delete-queue", name: this.name, principal: "" });
    if (result.type !== "queue-deleted") throw errorOf(result);
    const known = this.queues.names.cached(this.name);
    if (known?.queue === result.queue) this.queues.names.forget(this.name, known);
  }

  /** Settings, groups and numbers, as `GET /v1/queues/{queue}` tells them. */
  async describe(): Promise<unknown> {
    if (this.name === "." || this.name === "..") throw new TrivetError("bad_request", "This name cannot travel in a path");
    return this.connection.get(`/v1/queues/${encodeURIComponent(this.name)}`);
  }

  private async define(mode: DefineQueue["mode"], settings: Partial<QueueSettings>): Promise<QueueInfo> {
    if (mode === "update") return this.defineAs(mode, settings);
    // As over HTTP: what is left out of a new queue is the node's to say, and never changes one that is there.
    const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
    try {
      return await this.defineAs("create", { ...this.queues.stream.queueDefaults, ...given });
    } catch (error) {
      if (mode === "create" || !(error instanceof TrivetError) || error.code !== "queue_exists") throw error;
      return this.defineAs("ensure", settings);
    }
  }

  private async defineAs(mode: DefineQueue["mode"], settings: Partial<QueueSettings>): Promise<QueueInfo> {
    const result = await this.connection.execute({ type: "define-queue", name: this.name, mode, settings, principal: "" });
    if (result.type !== "queue-defined") throw errorOf(result);
    return infoOf(result);
  }
}

function infoOf({ queue, definition, createdAt }: DefinedQueue): QueueInfo {
  const { name, version, ...settings } = definition;
  return { name, queue, version, settings, createdAt };
}
