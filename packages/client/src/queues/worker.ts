import type { Consumer } from "./consumer.ts";
import type { Message } from "./message.ts";
import type { ConsumeOptions } from "./consume-options.ts";

export interface WorkerOptions extends ConsumeOptions {
  /** Messages worked on at the same time. Default 1. */
  readonly concurrency?: number;
  /** Told of what a handler threw, of settlements that failed, and of what ended the worker. */
  readonly onError?: (error: unknown, message: object | null) => void;
}
/** Returns when the message is done: it is acknowledged then. Throws when it failed: it is given back as a failure then. Or settles it itself. */
export type MessageHandler<T> = (message: Message<T>) => Promise<void> | void;

/** Works on messages of a queue until it is stopped. */
export class Worker<T> implements AsyncDisposable {
  /** Resolves when the worker has ended: stopped, or for good by an error that `onError` was told. */
  readonly done: Promise<void>;
  private readonly consumer: Consumer<T>;
  private readonly handler: MessageHandler<T>;
  private readonly onError: NonNullable<WorkerOptions["onError"]>;
  private hasFailed = false;

  constructor(consumer: Consumer<T>, handler: MessageHandler<T>, options: WorkerOptions) {
    this.consumer = consumer;
    this.handler = handler;
    this.onError = options.onError ?? (() => undefined);
    const lanes = Array.from({ length: options.concurrency ?? 1 }, () => this.lane());
    this.done = Promise.all(lanes).then(() => consumer.close());
  }

  /** Takes no more messages, and waits for those under way to be done. */
  stop(): Promise<void> {
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
    try {
      await this.handler(message);
    } catch (error) {
      this.onError(error, message);
      await this.settled(message, () => message.nack({ reason: reasonOf(error) }));
      return;
    }
    await this.settled(message, () => message.ack());
  }

  private async settled(message: Message<T>, settle: () => Promise<void>): Promise<void> {
    // The handler may have settled it; or it was lost, which its signal has told.
    if (!message.isOpen) return;
    try {
      await settle();
    } catch (error) {
      this.onError(error, message);
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
