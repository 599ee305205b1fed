import { type NewMessage, type Produce, type TraceContext, limits, partitionOf, shardNumberOf, utf8Length } from "@trivet/wire";
import { Watched } from "../answered.ts";
import type { ShardAnswer } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";
import type { Traces } from "../tracing/tracing.ts";
import { shardError } from "./answers.ts";
import { PartitionLines } from "./partition-lines.ts";
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
  /** Its place in the order in which they were produced. */
  readonly serial: number;
  /** Those of one turn may share a command. */
  readonly turn: number;
  readonly message: NewMessage;
  readonly fence: Fence;
  readonly timeoutMs: number;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly traces: Traces;
  readonly done: (error: unknown, produced: Produced | null) => void;
}
/** Messages that share a command. */
interface Batch {
  readonly partition: number;
  /** What its messages have in common. */
  readonly options: string;
  readonly fence: Fence;
  readonly waiting: [Waiting, ...Waiting[]];
  bytes: number;
}

/** A command stays well below what a frame may have. */
const maxBatchBytes = 512 * 1024;
/** What a message adds to its texts and its body, generously. */
const perMessageBytes = 64;

/**
 * Produces into one queue: what is produced in one turn shares frames, and commands where it goes to the same partition. What goes to one partition is stored
 * in the order in which it was produced (rule X4).
 */
export class Producer {
  private readonly name: string;
  private readonly client: QueueClient;
  private turn: Waiting[] = [];
  private serials = 0;
  private turns = 0;
  /** What waits for the number of the queue; null = nothing does. */
  private unresolved: Waiting[] | null = null;
  private readonly lines = new PartitionLines<Waiting>();
  private readonly rotation = new Rotation();

  constructor(name: string, client: QueueClient) {
    this.name = name;
    this.client = client;
  }

  /** May all of them share a command? */
  fit(messages: readonly NewMessage[]): boolean {
    return messages.length <= limits.maxMessagesPerCommand && messages.reduce((sum, message) => sum + sizeOf(message), 0) <= maxBatchBytes;
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

  produce(message: NewMessage, fence: Fence, timeoutMs: number, signal: AbortSignal | undefined, traces: Traces = null): Promise<Produced> {
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
      this.turn.push({
        serial: ++this.serials,
        turn: this.turns,
        message,
        fence,
        timeoutMs,
        deadline: performance.now() + timeoutMs,
        signal,
        traces,
        done,
      });
    });
  }

  private endTurn(): void {
    const { turn } = this;
    if (turn.length === 0) return;
    this.turn = [];
    this.turns++;
    const queue = this.unresolved === null ? this.client.names.cached(this.name) : undefined;
    if (queue !== undefined) this.send(queue, turn);
    else if (this.unresolved !== null) this.join(this.unresolved, turn);
    else void this.resolveAndSend(turn);
  }

  /** What is produced meanwhile goes behind these. */
  private async resolveAndSend(waiting: Waiting[]): Promise<void> {
    this.unresolved = waiting;
    while (waiting.length > 0) {
      const queue = await this.look(waiting, (deadline) => this.client.names.resolve(this.name, true, deadline));
      if (queue !== null) this.send(queue, waiting.splice(0));
    }
    this.unresolved = null;
  }

  /** A shard that has not heard of the queue yet, or not any more, stored nothing: again, under the number that its name has now. */
  private async renewAndSend(old: KnownQueue, partition: number, waiting: Waiting[], tries: number): Promise<void> {
    while (waiting.length > 0) {
      const queue = await this.look(waiting, (deadline) => this.client.names.renew(this.name, old, true, deadline, tries));
      if (queue === null) continue;
      this.lines.renewed(partition);
      return this.send(queue, waiting.splice(0), tries + 1);
    }
    this.lines.renewed(partition);
  }

  /** Null = those who waited when it was asked were told why there is no answer; others may have come. */
  private async look(waiting: Waiting[], ask: (deadline: number) => Promise<KnownQueue | null>): Promise<KnownQueue | null> {
    const deadline = Math.max(...waiting.map((one) => one.deadline));
    try {
      const queue = await ask(deadline);
      if (queue === null) throw new TrivetError("queue_unknown", `There is no queue ${this.name}`);
      this.tellLate(waiting);
      return queue;
    } catch (error) {
      for (const { done } of takeWhere(waiting, (one) => one.deadline <= deadline)) done(error, null);
      return null;
    }
  }

  /** Behind those that wait there already, each no longer than it wants. */
  private join(waiting: Waiting[], more: readonly Waiting[]): void {
    waiting.push(...more);
    const deadline = Math.max(...more.map((one) => one.deadline));
    setTimeout(() => this.tellLate(waiting), Math.max(0, deadline - performance.now())).unref();
  }

  private tellLate(waiting: Waiting[]): void {
    const now = performance.now();
    for (const { done } of takeWhere(waiting, (one) => one.deadline <= now)) done(this.notReached(), null);
  }

  private send(queue: KnownQueue, waiting: readonly Waiting[], tries = 0): void {
    this.lines.begin(queue);
    for (const batch of this.batches(queue, waiting)) {
      const held = this.lines.heldAt(batch.partition, batch.waiting[0]);
      if (held === null) this.sendBatch(queue, batch, tries);
      else this.join(held, batch.waiting);
    }
  }

  private *batches(queue: KnownQueue, waiting: readonly Waiting[]): Generator<Batch> {
    // One of a partition at a time: whatever their options, messages of a key stay in their order.
    const open = new Map<number, Batch>();
    const other = this.rotation.partition(queue.partitions, performance.now());
    for (const one of waiting) {
      // Not sent yet: whoever gave up may be certain that nothing happened.
      if (one.signal?.aborted === true) continue;
      const { message, fence } = one;
      const name = message.key === "" ? message.dedupId : message.key;
      const partition = name === "" ? other : partitionOf(name, queue.partitions);
      const options = `${one.turn}/${one.timeoutMs}${fence === null ? "" : `/${fence.fence}/${fence.lock}`}`;
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
      if (batch === undefined) open.set(partition, { partition, options, fence, waiting: [one], bytes });
      else {
        batch.waiting.push(one);
        batch.bytes += bytes;
      }
    }
    yield* open.values();
  }

  private sendBatch(queue: KnownQueue, { partition, fence, waiting }: Batch, tries: number): void {
    const [first] = waiting;
    const messages = waiting.map((one) => one.message);
    const command: Produce = { type: "produce", queue: queue.queue, partition, version: queue.version, messages, ifFence: fence };
    const timeoutMs = Math.max(1, first.deadline - performance.now());
    const answered = (error: unknown, answer: ShardAnswer | null): void => {
      if (answer?.type === "not-configured") {
        const all = this.lines.unknown(partition, waiting);
        if (all !== null) void this.renewAndSend(queue, partition, all, tries);
        return;
      }
      if (answer === null) for (const { done } of waiting) done(error, null);
      else this.answered(queue, waiting, answer);
      const held = this.lines.answered(partition, queue, first, answer !== null && saysKnown(answer));
      // It may have another definition by now: that is what they were made for.
      if (held.length > 0) this.send(this.client.names.cached(this.name) ?? queue, held);
    };
    // Nothing overtakes it, so the stream asks for it until its end is known, also when nobody waits for that any longer.
    const asker = new Watched<ShardAnswer>(answered, () => undefined);
    this.client.stream.submitTo(shardNumberOf(queue.queue, partition, queue.shards), command, timeoutMs, asker, tracesOf(waiting));
  }

  private answered(queue: KnownQueue, waiting: readonly Waiting[], answer: ShardAnswer): void {
    if (answer.type === "produced" && answer.messages.length === waiting.length) {
      const { partition } = answer;
      answer.messages.forEach(({ sequence, duplicate }, at) => {
        const id = messageId(queue.queue, partition, sequence);
        waiting[at]?.done(null, { id, partition, sequence, duplicate });
      });
    } else for (const { done } of waiting) done(shardError(this.name, answer), null);
  }

  private notReached(): TrivetError {
    return new UnavailableError("no_leader", `The shards of queue ${this.name} did not know it in time; nothing was stored`);
  }
}

/** What is refused or malformed may have been so before the queue was looked at. */
function saysKnown({ type }: ShardAnswer): boolean {
  return type !== "refused" && type !== "malformed";
}

function takeWhere(waiting: Waiting[], ends: (one: Waiting) => boolean): readonly Waiting[] {
  const ended = waiting.filter(ends);
  if (ended.length > 0) waiting.splice(0, waiting.length, ...waiting.filter((one) => !ends(one)));
  return ended;
}

function tracesOf(waiting: readonly Waiting[]): Traces {
  let all: TraceContext[] | null = null;
  for (const { traces } of waiting) if (traces !== null) (all ??= []).push(...traces);
  return all;
}

export function messageId(queue: number, partition: number, sequence: number): string {
  return `${queue}-${partition}-${sequence}`;
}

function sizeOf({ key, dedupId, headers, body }: NewMessage): number {
  let bytes = perMessageBytes + body.length + 3 * (key.length + dedupId.length);
  for (const [name, value] of headers) bytes += utf8Length(name) + utf8Length(value) + 4;
  return bytes;
}
