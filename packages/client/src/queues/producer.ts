import { type NewMessage, type Produce, limits, partitionOf, shardNumberOf } from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";
import { shardError } from "./answers.ts";
import { Rotation } from "./rotation.ts";
import type { QueueClient } from "./queue-client.ts";
import type { KnownQueue } from "./queue-names.ts";

export interface Produced {
  /** Names the message for ever. */
  readonly id: string;
  readonly partition: number;
  readonly sequence: number;
  /** It was there already, known by its `dedupId`. */
  readonly duplicate: boolean;
}
type Fence = Produce["ifFence"];

/** One message until its outcome is known. */
interface Waiting {
  readonly message: NewMessage;
  readonly fence: Fence;
  readonly timeoutMs: number;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly done: (error: unknown, produced: Produced | null) => void;
}
/** Messages that share a command. */
interface Batch {
  readonly partition: number;
  /** What its messages have in common. */
  readonly options: string;
  readonly fence: Fence;
  readonly waiting: Waiting[];
  bytes: number;
}

/** A command stays well below what a frame may have. */
const maxBatchBytes = 512 * 1024;
/** What a message adds to its texts and its body, generously. */
const perMessageBytes = 64;

/** Produces into one queue: what is produced in one turn shares frames, and commands where it goes to the same partition. */
export class Producer {
  private readonly name: string;
  private readonly client: QueueClient;
  private turn: Waiting[] = [];
  private readonly rotation = new Rotation();

  constructor(name: string, client: QueueClient) {
    this.name = name;
    this.client = client;
  }

  /**
   * What has gathered goes first where these would not fit beside it: then those of one partition share a command, which is stored all or none. They have to be
   * produced in the same turn.
   */
  makeRoom(messages: readonly NewMessage[]): void {
    const bytes = [...messages, ...this.turn.map(({ message }) => message)].reduce((sum, message) => sum + sizeOf(message), 0);
    const isCrowded = this.turn.length + messages.length > limits.maxMessagesPerCommand || bytes > maxBatchBytes;
    if (isCrowded) this.endTurn();
  }

  produce(message: NewMessage, fence: Fence, timeoutMs: number, signal: AbortSignal | undefined): Promise<Produced> {
    return new Promise<Produced>((resolve, reject) => {
      signal?.throwIfAborted();
      let abandon: (() => void) | null = null;
      const done = (error: unknown, produced: Produced | null): void => {
        if (abandon !== null) signal?.removeEventListener("abort", abandon);
        if (produced === null) reject(error);
        else resolve(produced);
      };
      if (signal !== undefined) {
        abandon = () => reject(signal.reason as unknown);
        signal.addEventListener("abort", abandon, { once: true });
      }
      if (this.turn.length === 0) this.client.stream.atGatheredEnd(() => this.endTurn());
      this.turn.push({ message, fence, timeoutMs, deadline: performance.now() + timeoutMs, signal, done });
    });
  }

  private endTurn(): void {
    const { turn } = this;
    if (turn.length === 0) return;
    this.turn = [];
    // Not sent yet: whoever gave up may be certain that nothing happened.
    const wanted = turn.filter(({ signal }) => signal?.aborted !== true);
    const queue = this.client.names.cached(this.name);
    if (queue === undefined) void this.resolveAndSend(wanted, null, 0);
    else this.send(queue, wanted, 0);
  }

  /** `old`: a shard that has not heard of it yet, or not any more, stored nothing. */
  private async resolveAndSend(waiting: readonly Waiting[], old: KnownQueue | null, tries: number): Promise<void> {
    const { names } = this.client;
    const deadline = Math.max(...waiting.map((one) => one.deadline));
    let queue: KnownQueue | null;
    try {
      queue = await (old === null ? names.resolve(this.name, true, deadline) : names.renew(this.name, old, true, deadline, tries - 1));
      if (queue === null) throw new TrivetError("queue_unknown", `There is no queue ${this.name}`);
    } catch (error) {
      for (const { done } of waiting) done(error, null);
      return;
    }
    const now = performance.now();
    const late = waiting.filter((one) => one.deadline <= now);
    for (const { done } of late) done(this.notReached(), null);
    this.send(queue, late.length === 0 ? waiting : waiting.filter((one) => !late.includes(one)), tries);
  }

  private send(queue: KnownQueue, waiting: readonly Waiting[], tries: number): void {
    for (const batch of this.batches(queue, waiting)) this.sendBatch(queue, batch, tries);
  }

  private *batches(queue: KnownQueue, waiting: readonly Waiting[]): Generator<Batch> {
    // One of a partition at a time: whatever their options, messages of a key stay in their order.
    const open = new Map<number, Batch>();
    const other = this.rotation.partition(queue.partitions, performance.now());
    for (const one of waiting) {
      const { message, fence } = one;
      const name = message.key === "" ? message.dedupId : message.key;
      const partition = name === "" ? other : partitionOf(name, queue.partitions);
      const options = fence === null ? `${one.timeoutMs}` : `${one.timeoutMs}/${fence.fence}/${fence.lock}`;
      const bytes = sizeOf(message);
      if (name === "") this.rotation.sent(bytes);
      let batch = open.get(partition);
      if (batch !== undefined) {
        const isFull = batch.waiting.length >= limits.maxMessagesPerCommand || batch.bytes + bytes > maxBatchBytes;
        if (isFull || batch.options !== options) {
          yield batch;
          batch = undefined;
        }
      }
      if (batch === undefined) open.set(partition, (batch = { partition, options, fence, waiting: [], bytes: 0 }));
      batch.waiting.push(one);
      batch.bytes += bytes;
    }
    yield* open.values();
  }

  private sendBatch(queue: KnownQueue, { partition, fence, waiting }: Batch, tries: number): void {
    const [first] = waiting;
    if (first === undefined) return;
    const messages = waiting.map((one) => one.message);
    const command: Produce = { type: "produce", queue: queue.queue, partition, version: queue.version, messages, ifFence: fence };
    const timeoutMs = Math.max(1, first.deadline - performance.now());
    this.client.stream.submitTo(shardNumberOf(queue.queue, partition, queue.shards), command, timeoutMs, (error, answer) => {
      if (answer === null) for (const { done } of waiting) done(error, null);
      else this.answered(queue, waiting, answer, tries);
    });
  }

  private answered(queue: KnownQueue, waiting: readonly Waiting[], answer: ShardAnswer, tries: number): void {
    if (answer.type === "produced" && answer.messages.length === waiting.length) {
      const { partition } = answer;
      answer.messages.forEach(({ sequence, duplicate }, at) => {
        const id = messageId(queue.queue, partition, sequence);
        waiting[at]?.done(null, { id, partition, sequence, duplicate });
      });
    } else if (answer.type === "not-configured") void this.resolveAndSend(waiting, queue, tries + 1);
    else for (const { done } of waiting) done(shardError(this.name, answer), null);
  }

  private notReached(): TrivetError {
    return new UnavailableError("no_leader", `The shards of queue ${this.name} did not know it in time; nothing was stored`);
  }
}

export function messageId(queue: number, partition: number, sequence: number): string {
  return `${queue}-${partition}-${sequence}`;
}

function sizeOf({ key, dedupId, headers, body }: NewMessage): number {
  let bytes = perMessageBytes + body.length + 3 * (key.length + dedupId.length);
  for (const [name, value] of headers) bytes += 3 * (name.length + value.length) + 4;
  return bytes;
}
