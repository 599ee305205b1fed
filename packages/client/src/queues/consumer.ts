import { type Consume, type HandedOut, type SettleOutcome, limits, shardNumberOf } from "@trivet/wire";
import { type AnsweredBy, Watched } from "../answered.ts";
import type { ShardAnswer } from "../command-stream.ts";
import { OutcomeUnknownError, TrivetError, UnavailableError } from "../errors.ts";
import { atMost } from "../patience.ts";
import { shardError } from "./answers.ts";
import type { QueueCodec } from "./codec.ts";
import type { ConsumeSettings } from "./consume-options.ts";
import { AtWork, tellNode } from "./at-work.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { Message, type MessageHolder } from "./message.ts";
import { messageId } from "./producer.ts";
import type { QueueClient, Watcher } from "./queue-client.ts";
import type { KnownQueue } from "./queue-names.ts";
import { received, receiving } from "./queue-spans.ts";
import { type Slot, Slots } from "./slots.ts";

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<Message<T>, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** How long a node is asked to wait for a queue that is not there yet; then it is asked again. */
const awaitMs = 60_000;
/** Pause where no node could wait. */
const lookAgainMs = 500;
/** Nothing was heard for so long: asked all the same, should a hint have been lost. */
const askAnywayMs = 60_000;
/** How long `return` waits for the cluster to hear what is released. */
const goodbyeMs = 2_000;

/**
 * Messages of one group, pushed with credit: up to `credit` are in hand, the next are asked for before the last is taken, and where there is nothing a
 * hint is waited for. Ends with `return` (a loop that is left calls it): what is in hand and not settled is released.
 */
export class Consumer<T> implements AsyncIterableIterator<Message<T>, undefined>, AsyncDisposable, Watcher {
  private readonly codec: QueueCodec<T>;
  readonly settings: ConsumeSettings;
  private readonly name: string;
  private readonly client: QueueClient;
  private queue: KnownQueue | null = null;
  private slots: Slots = new Slots([]);
  /** Handed out, not yet given to the loop. */
  private readonly ready: Message<T>[] = [];
  /** Handed out and not settled. */
  private readonly held = new Set<Message<T>>();
  private readonly atWork = new AtWork<Message<T>>();
  private readonly keeper: LeaseKeeper<T>;
  private waiters: Waiter<T>[] = [];
  /** Of these, those whose settlement is on its way: nobody works on them any more. */
  private settling = 0;
  /** Messages asked for by consumes that are under way. */
  private requested = 0;
  private failure: { readonly error: unknown } | null = null;
  private hasBegun = false;
  private isStopped = false;
  private willFetch = false;
  private closing: Promise<void> | null = null;
  /** Lost links so far. What a node gives up for a consumer of before must not hit what is handed out after. */
  private losses = 0;
  private askTimer: NodeJS.Timeout | null = null;
  private readonly onAbort = (): void => this.fail(this.settings.signal?.reason);

  constructor(name: string, client: QueueClient, codec: QueueCodec<T>, settings: ConsumeSettings) {
    this.name = name;
    this.client = client;
    this.codec = codec;
    this.settings = settings;
    this.keeper = new LeaseKeeper(this.held, settings.autoExtend);
  }

  /** Messages handed out and not settled, nor about to be. */
  get inHand(): number {
    return this.held.size - this.settling;
  }

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    this.begin();
    const message = this.takeReady();
    if (message !== null) {
      this.fetchSoon();
      return Promise.resolve({ done: false, value: message });
    }
    if (this.failure !== null) return Promise.reject(this.failure.error);
    if (this.isStopped) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
      this.fetchSoon();
    });
  }

  /** Ends the iteration and releases what is in hand and not settled. */
  async return(): Promise<IteratorResult<Message<T>, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** No more messages: what was not given to the loop yet is released; what was stays in hand, and its lease is kept, until `return`. */
  stop(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.settings.signal?.removeEventListener("abort", this.onAbort);
    this.slots.stop();
    if (this.askTimer !== null) clearInterval(this.askTimer);
    for (const message of this.ready.splice(0)) void this.giveBack(message);
    for (const { resolve } of this.waiters.splice(0)) resolve({ done: true, value: undefined });
  }

  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  // ── What the connection tells ──

  hint(partition: number): void {
    this.slots.hint(partition);
    this.fetchSoon();
  }

  disconnected(): void {
    this.losses++;
    this.atWork.lost();
    // The node that is lost gives up what this consumer holds (rule Q3). Others may have it by now, so nobody begins to work on it here.
    for (const message of this.ready.splice(0)) void this.giveBack(message);
  }

  connected(): void {
    if (this.queue === null || this.isStopped) return;
    this.watch(true);
    this.slots.hint(-1);
    this.fetchSoon();
  }

  leaving(): void {
    this.watch(false);
  }

  // ── Asking ──

  private begin(): void {
    if (this.hasBegun || this.isStopped) return;
    this.hasBegun = true;
    const { signal } = this.settings;
    if (signal?.aborted === true) return this.fail(signal.reason);
    signal?.addEventListener("abort", this.onAbort, { once: true });
    this.client.enter(this);
    void this.find();
  }

  /** The queue's number; waits for a queue that is not there yet. */
  private async find(): Promise<void> {
    try {
      let queue: KnownQueue | null = null;
      while (queue === null && !this.isStopped) {
        const askedAt = performance.now();
        queue = await this.lookUp(awaitMs);
        const pauseMs = askedAt + lookAgainMs - performance.now();
        if (queue === null && pauseMs > 0 && !this.isStopped) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
      if (queue !== null && !this.isStopped) this.consumeFrom(queue);
    } catch (error) {
      this.fail(error);
    }
  }

  private async lookUp(waitMs: number): Promise<KnownQueue | null> {
    const { names, timeoutMs } = this.client;
    const deadline = performance.now() + waitMs + timeoutMs;
    try {
      return await (waitMs > 0 ? names.await(this.name, waitMs, deadline) : names.resolve(this.name, false, deadline));
    } catch (error) {
      if (error instanceof UnavailableError) return null;
      throw error;
    }
  }

  private consumeFrom(queue: KnownQueue): void {
    const { partition, group } = this.settings;
    if (partition !== null && partition >= queue.partitions) {
      throw new TrivetError("bad_request", `Queue ${this.name} has partitions 0 to ${queue.partitions - 1}, not ${partition}`);
    }
    this.queue = queue;
    this.slots = new Slots(partition === null ? Array.from({ length: queue.partitions }, (_, index) => index) : [partition]);
    this.client.add(queue.queue, group, this);
    this.askTimer ??= setInterval(() => this.hint(-1), askAnywayMs);
    this.watch(true);
    this.fetchSoon();
  }

  private get consumer(): string {
    return this.losses === 0 ? this.settings.consumer : `${this.settings.consumer}~${this.losses}`;
  }

  /** Null = as before, but more is begun. */
  private watch(on: boolean | null): void {
    const { atWork, client, consumer, queue, settings } = this;
    if (queue !== null) tellNode(client.stream, { queue: queue.queue, group: settings.group, consumer }, on, atWork.begun);
  }

  /** At the end of this turn, when all that is settled, taken or told in it counts. */
  private fetchSoon(): void {
    if (this.willFetch || this.isStopped) return;
    this.willFetch = true;
    this.client.stream.atGatheredEnd(() => {
      this.willFetch = false;
      this.fetch();
    });
  }

  private fetch(): void {
    const { queue } = this;
    if (queue === null || this.isStopped || !this.client.stream.isConnected) return;
    const { autoExtend, credit } = this.settings;
    // What is not kept must not wait here: it is asked for when somebody wants it.
    if (!autoExtend && this.waiters.length === 0) return;
    // A settlement makes room at once: it goes ahead of the consume. No more of them than the credit once more, should the cluster not answer.
    let free = Math.min(credit - this.inHand, 2 * credit - this.held.size) - this.requested;
    const isRunningOut = this.ready.length === 0 && this.requested === 0;
    // Half of it at a time, so that a command hands out many; sooner only when there is nothing left to take.
    if (free < 1 || (free < credit / 2 && !isRunningOut)) return;
    // Ahead of the consume: a key whose message is done may be handed out again by it.
    this.client.settler.flush();
    const slots = this.slots.askable();
    const maxBytes = Math.max(1, Math.floor(this.settings.maxBytes / Math.max(1, Math.min(slots.length, free))));
    slots.forEach((slot, at) => {
      if (free < 1) return;
      const count = Math.min(limits.maxMessagesPerCommand, Math.ceil(free / (slots.length - at)));
      free -= count;
      this.ask(queue, slot, count, maxBytes);
    });
  }

  private ask(queue: KnownQueue, slot: Slot, count: number, maxBytes: number): void {
    const { group, visibilityMs, start } = this.settings;
    const { partition } = slot;
    const command: Consume = {
      type: "consume",
      queue: queue.queue,
      partition,
      group,
      consumer: this.consumer,
      maxMessages: count,
      maxBytes,
      visibilityMs,
      autoAck: false,
      start: { type: start },
    };
    const { client, losses } = this;
    const span = client.tracing.isOn ? receiving(client.tracing, this.name, group, partition) : null;
    const sentAt = performance.now();
    this.slots.asked(slot);
    this.requested += count;
    const done: AnsweredBy<ShardAnswer> = (error, answer) => {
      slot.busy = false;
      this.requested -= count;
      if (answer === null) this.notAnswered(slot, error);
      else this.answered(queue, slot, answer, sentAt, losses);
      this.fetchSoon();
      received(span, error, answer);
    };
    // What is handed out late is in hand all the same.
    const late = (answer: ShardAnswer): void => {
      if (answer.type === "handed-out") this.take(queue, answer.messages, sentAt + answer.leaseMs, answer.leaseMs, losses);
    };
    const shard = shardNumberOf(queue.queue, partition, queue.shards);
    client.stream.submitTo(shard, command, client.timeoutMs, new Watched(done, late), span?.traces ?? null);
  }

  private notAnswered(slot: Slot, error: TrivetError | null): void {
    if (this.isStopped) return;
    if (error instanceof UnavailableError || error instanceof OutcomeUnknownError) this.slots.pause(slot, () => this.fetchSoon());
    else this.fail(error);
  }

  private answered(queue: KnownQueue, slot: Slot, answer: ShardAnswer, sentAt: number, losses: number): void {
    switch (answer.type) {
      case "handed-out":
        this.slots.handedOut(slot, answer.messages.length, answer.more, () => this.fetchSoon());
        return this.take(queue, answer.messages, sentAt + answer.leaseMs, answer.leaseMs, losses);
      case "not-configured":
        return this.again(queue, slot);
      case "refused":
        return this.slots.pause(slot, () => this.fetchSoon());
      default:
        return this.fail(shardError(this.name, answer));
    }
  }

  /** The shard has not heard of the queue yet, or it is gone: whoever has its name now is consumed from. */
  private again(queue: KnownQueue, slot: Slot): void {
    if (this.isStopped || this.queue !== queue) return;
    this.client.names.forget(this.name, queue);
    this.slots.pause(slot, () => void this.renew(queue));
  }

  private async renew(queue: KnownQueue): Promise<void> {
    try {
      const found = await this.lookUp(0);
      if (this.isStopped || this.queue !== queue) return;
      if (found?.queue === queue.queue) return this.fetchSoon();
      if (found === null) this.client.names.forget(this.name, queue);
      this.watch(false);
      this.client.remove(queue.queue, this.settings.group, this);
      this.queue = null;
      this.slots.stop();
      void this.find();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Messages stay with the queue they came from, whoever has its name now. */
  private holderOf(queue: KnownQueue): MessageHolder<T> {
    const { client, settings, name, codec } = this;
    return {
      codec,
      settle: (receipt, settlement, delayMs, reason) =>
        new Promise<SettleOutcome>((resolve, reject) => {
          const ends = settlement !== "extend";
          if (ends) this.settling++;
          const done: AnsweredBy<SettleOutcome> = (error, outcome) => {
            if (ends) this.settling--;
            if (outcome === null) reject(error ?? new TrivetError("internal", "neither an error nor an outcome"));
            else resolve(outcome);
          };
          client.settler.settle({ name, queue, group: settings.group, receipt, settlement, delayMs, reason }, client.timeoutMs, done);
          if (ends) this.fetchSoon();
        }),
      gone: (message) => {
        this.held.delete(message);
        this.atWork.ends(message);
        this.fetchSoon();
      },
    };
  }

  private take(queue: KnownQueue, messages: readonly HandedOut[], until: number, leaseMs: number, losses: number): void {
    const holder = this.holderOf(queue);
    for (const handed of messages) {
      const message = new Message<T>(messageId(queue.queue, handed.partition, handed.sequence), handed, until, holder);
      // Nobody waits for it, or it was handed out under a name that a lost node gives up.
      if (this.isStopped || this.queue !== queue || losses !== this.losses) void this.giveBack(message);
      else {
        this.held.add(message);
        this.ready.push(message);
      }
    }
    if (messages.length > 0 && !this.isStopped) this.keeper.begin(leaseMs);
    while (this.waiters.length > 0) {
      const message = this.takeReady();
      if (message === null) return;
      this.waiters.shift()?.resolve({ done: false, value: message });
    }
  }

  private takeReady(): Message<T> | null {
    for (let message = this.ready.shift(); message !== undefined; message = this.ready.shift()) {
      if (message.isOpen && message.lease.isHeld) {
        if (this.atWork.begins(message)) this.watch(null);
        return message;
      }
      // It waited here for longer than its lease.
      message.lose("its lease ended before it was taken");
    }
    return null;
  }

  /** Best effort: should it fail, the lease runs out. */
  private giveBack(message: Message<T>): Promise<void> {
    this.held.delete(message);
    return message.release().catch(() => undefined);
  }

  private fail(error: unknown): void {
    if (this.failure !== null || this.isStopped) return;
    this.failure = { error };
    for (const { reject } of this.waiters.splice(0)) reject(error);
    void this.close();
  }

  private async closeOnce(): Promise<void> {
    const { queue } = this;
    this.stop();
    this.keeper.stop();
    this.watch(false);
    this.client.leave(this);
    if (queue !== null) this.client.remove(queue.queue, this.settings.group, this);
    if (this.held.size === 0) return;
    const settled = Promise.all([...this.held].map((message) => (message.isOpen ? this.giveBack(message) : message.whenSettled())));
    await atMost(goodbyeMs, settled);
  }
}
