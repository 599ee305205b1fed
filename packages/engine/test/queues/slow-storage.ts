import { MemoryClock, MemoryQueueDirectory, MemoryQueueStorage, QueueService } from "@trivet/engine";
import type {
  Consumed,
  ConsumeRequest,
  Delivered,
  QueueCallOptions,
  QueueFailure,
  QueueSettings,
  QueueStorage,
  StorageCommand,
  StorageOutcome,
  Submission,
} from "@trivet/engine";
import { newMessage } from "../../src/conformance/queues/kit.ts";

/** One call of the service to its storage, answered when the test says so. */
export interface Held {
  readonly partition: number;
  readonly command: StorageCommand;
  /** Executes it, or answers `instead`. */
  go(instead?: StorageOutcome): void;
}

/** A service whose consumes wait for the test; everything else is executed at once. */
export class SlowRig {
  readonly clock: MemoryClock = new MemoryClock();
  readonly directory: MemoryQueueDirectory = new MemoryQueueDirectory(this.clock);
  readonly inner: MemoryQueueStorage = new MemoryQueueStorage(this.clock);
  readonly held: Held[] = [];
  /** Every command that reached the storage, by type. */
  readonly seen: string[] = [];
  /** Consumes are executed at once too. */
  open = false;
  readonly service: QueueService;
  private hint: (queue: number, partition: number, group: string) => void = () => undefined;

  constructor() {
    const { inner } = this;
    const storage: QueueStorage = {
      backend: "memory",
      submit: (place, command, options, done) => {
        this.seen.push(command.type);
        if (command.type !== "consume" || this.open) return inner.submit(place, command, options, done);
        this.held.push({
          partition: place.partition,
          command,
          go: (instead) => {
            if (instead === undefined) inner.submit(place, command, options, done);
            else this.clock.defer(() => done(instead));
            this.settle();
          },
        });
        return { requestId: "", abandon: () => undefined };
      },
      query: (...question) => inner.query(...question),
      configure: (...change) => inner.configure(...change),
      watchReady: (listener) => {
        this.hint = listener;
        return inner.watchReady(listener);
      },
    };
    this.service = new QueueService({ clock: this.clock, storage, directory: this.directory });
  }

  define(settings: Partial<QueueSettings> = {}): void {
    this.service.define("q", settings, "ensure", { timeoutMs: 5000 }, () => undefined);
    this.settle();
  }

  produce(count: number, key = ""): void {
    const messages = Array.from({ length: count }, () => newMessage({ key }));
    this.service.produce({ queue: "q", messages, ifFence: null, create: false }, { timeoutMs: 5000 }, () => undefined);
    this.settle();
  }

  consume(fields: Partial<ConsumeRequest> = {}, timeoutMs = 60_000, more: Partial<QueueCallOptions> = {}): Asked {
    const asked: Asked = { outcomes: [], submission: { requestId: "", abandon: () => undefined } };
    const numbers = { maxMessages: 1, maxBytes: 0, visibilityMs: 0, waitMs: 0 };
    const request = {
      queue: "q",
      group: "g",
      consumer: "c",
      ...numbers,
      autoAck: false,
      start: { type: "earliest" },
      partition: null,
    } as const;
    asked.submission = this.service.consume({ ...request, ...fields }, { timeoutMs, ...more }, (outcome) => asked.outcomes.push(outcome));
    this.settle();
    return asked;
  }

  /** Hints as a storage that knows nothing gives them. */
  hintAll(): void {
    this.hint(-1, -1, "");
    this.settle();
  }

  /** Everything that is not for a timer happens. */
  settle(): void {
    this.clock.runUntil(this.clock.now());
  }
}

export interface Asked {
  readonly outcomes: (Consumed | QueueFailure)[];
  submission: Submission;
}

/** What it was handed, or null while it waits. */
export function got({ outcomes }: Asked): readonly Delivered[] | null | string {
  const [outcome] = outcomes;
  if (outcomes.length > 1) return "told twice";
  if (outcome === undefined) return null;
  return outcome.type === "consumed" ? outcome.messages : outcome.type;
}
