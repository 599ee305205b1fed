import { setTimeout as passed } from "node:timers/promises";
import type { ClientSpan } from "../tracing/tracing.ts";
import type { Consumer } from "./consumer.ts";
import { type Message, isWorthRepeating } from "./message.ts";
import type { ConsumeOptions } from "./consume-options.ts";

/** Pauses between the tries of a settlement. */
const firstPauseMs = 50;
const longestPauseMs = 2_000;
/** Between two warnings of a worker. */
const quietMs = 5_000;

export interface WorkerOptions extends ConsumeOptions {
  /** Messages worked on at the same time. Default 1. */
  readonly concurrency?: number;
  /** Told of what a handler threw, of every try of a settlement that failed, and of what ended the worker. Default: a warning of the process, one in 5 s. */
  readonly onError?: (error: unknown, message: object | null) => void;
}
/**
 * Returns when the message is done: it is acknowledged then. Throws when it failed: it is given back as a failure then. Or settles it itself. A settlement
 * that nobody takes is repeated until somebody does, the lease is over, or the worker stops.
 */
export type MessageHandler<T> = (message: Message<T>) => Promise<void> | void;

/** Works on messages of a queue until it is stopped. */
export class Worker<T> implements AsyncDisposable {
  /** Resolves when the worker has ended: stopped, or for good by an error that `onError` was told. */
  readonly done: Promise<void>;
  private readonly consumer: Consumer<T>;
  private readonly handler: MessageHandler<T>;
  /** Of the work on one message; null = nothing is traced. */
  private readonly begin: (message: Message<T>) => ClientSpan | null;
  private readonly onError: NonNullable<WorkerOptions["onError"]>;
  private readonly stopping = new AbortController();
  /** Of repeated settlements. */
  private readonly ending: AbortSignal;
  private hasFailed = false;

  constructor(
    consumer: Consumer<T>,
    handler: MessageHandler<T>,
    options: WorkerOptions,
    begin: (message: Message<T>) => ClientSpan | null,
  ) {
    this.begin = begin;
    this.consumer = consumer;
    this.handler = handler;
    this.onError = options.onError ?? warnings();
    this.ending = options.signal === undefined ? this.stopping.signal : AbortSignal.any([this.stopping.signal, options.signal]);
    const lanes = Array.from({ length: options.concurrency ?? 1 }, () => this.lane());
    this.done = Promise.all(lanes).then(() => consumer.close());
  }

  /** Takes no more messages, and waits for those under way to be done. A settlement that failed is not repeated any more. */
  stop(): Promise<void> {
    this.stopping.abort();
    this.consumer.stop();
    return this.done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async lane(): Promise<void> {
    for (;;) {
      let result: IteratorResult<Message<T>, undefined>;
      try {
        result = await this.consumer.next();
      } catch (error) {
        if (!this.hasFailed) this.onError(error, null);
        this.hasFailed = true;
        return;
      }
      if (result.done === true) return;
      await this.handle(result.value);
    }
  }

  private async handle(message: Message<T>): Promise<void> {
    const span = this.begin(message);
    if (span === null) return this.work(message);
    // Its settlement belongs to the work, too, and is no part of its outcome.
    let failure: unknown = null;
    try {
      await span.run(() => this.work(message, (error) => (failure = error ?? String(error))));
    } finally {
      span.end({}, failure);
    }
  }

  private async work(message: Message<T>, failed: (error: unknown) => void = () => undefined): Promise<void> {
    try {
      await this.handler(message);
    } catch (error) {
      failed(error);
      this.onError(error, message);
      await this.settled(message, () => message.nack({ reason: reasonOf(error) }));
      return;
    }
    await this.settled(message, () => message.ack());
  }

  private async settled(message: Message<T>, settle: () => Promise<void>): Promise<void> {
    // The handler may have settled it; or it was lost, which its signal has told.
    for (let pauseMs = firstPauseMs; message.isOpen; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        return await settle();
      } catch (error) {
        this.onError(error, message);
        // In hand it would keep its place for ever. So its lease runs out.
        if (!isWorthRepeating(error)) message.lose("its settlement was refused");
      }
      if (message.isOpen && !(await this.mayGoOn(pauseMs))) return;
    }
  }

  /** After a pause; false = the worker ends. */
  private mayGoOn(pauseMs: number): Promise<boolean> {
    return passed(pauseMs, true, { signal: this.ending }).catch(() => false);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** For a worker whose errors nobody listens to. */
function warnings(): NonNullable<WorkerOptions["onError"]> {
  let quietUntil = 0;
  let unsaid = 0;
  return (error) => {
    if (performance.now() < quietUntil) {
      unsaid++;
      return;
    }
    const more = unsaid === 0 ? "" : ` (and ${unsaid} more since the last warning)`;
    process.emitWarning(`${reasonOf(error)}${more}. Give the worker an onError to handle it.`, {
      type: "TrivetWorkerWarning",
      detail: error instanceof Error ? (error.stack ?? "") : "",
    });
    quietUntil = performance.now() + quietMs;
    unsaid = 0;
  };
}
