import { MemoryClock, MemoryQueueDirectory, MemoryQueueStorage, QueueService, partitionOf } from "@trivet/engine";
import type {
  Consumed,
  Durability,
  QueueDirectory,
  QueueFailure,
  QueueStorage,
  Settled,
  StorageCommand,
  StorageOutcome,
} from "@trivet/engine";
import { expect, test } from "vitest";
import { newMessage } from "../../src/conformance/queues/kit.ts";

const down: StorageOutcome = { type: "unavailable", code: "no_leader", retryAfterMs: 100, detail: "" };
const options = { timeoutMs: 2000 };

/** A service whose node may be behind group 0, and whose storage may fail. */
class Rig {
  readonly clock: MemoryClock = new MemoryClock();
  /** What group 0 knows. */
  readonly truth: MemoryQueueDirectory = new MemoryQueueDirectory(this.clock);
  /** This node knows nothing until it asks. */
  behind = false;
  readonly commands: StorageCommand[] = [];
  /** The acknowledgements that were asked for. */
  readonly asked: (Durability | undefined)[] = [];
  instead: (partition: number, command: StorageCommand) => StorageOutcome | null = () => null;
  readonly inner: MemoryQueueStorage = new MemoryQueueStorage(this.clock);
  readonly service: QueueService;

  constructor() {
    const { clock, inner, truth } = this;
    const storage: QueueStorage = {
      backend: "memory",
      submit: (place, command, submitOptions, done) => {
        this.commands.push(command);
        this.asked.push(submitOptions.ack);
        const outcome = this.instead(place.partition, command);
        if (outcome === null) return inner.submit(place, command, submitOptions, done);
        clock.defer(() => done(outcome));
        return { requestId: "", abandon: () => undefined };
      },
      query: (...question) => inner.query(...question),
      configure: (...change) => inner.configure(...change),
      watchReady: (listener) => inner.watchReady(listener),
    };
    const directory: QueueDirectory = {
      queue: (name) => (this.behind ? null : truth.queue(name)),
      byNumber: (queue) => (this.behind ? null : truth.byNumber(queue)),
      list: (...question) => truth.list(...question),
      refresh: (timeoutMs, done) =>
        truth.refresh(timeoutMs, (fresh) => {
          this.behind = false;
          done(fresh);
        }),
      define: (...call) => truth.define(...call),
      remove: (...call) => truth.remove(...call),
      watch: () => () => undefined,
      placement: () => null,
    };
    this.service = new QueueService({ clock, storage, directory });
  }

  /** What a call is told, within its time. */
  ask<T>(call: (done: (outcome: T) => void) => void): T {
    const told: T[] = [];
    call((outcome) => told.push(outcome));
    expect(told).toEqual([]);
    this.clock.advance(3000);
    expect(told.length).toBe(1);
    return told[0] as T;
  }

  define(partitions: number): void {
    this.ask((done) => this.truth.define("q", { partitions }, "ensure", options, done));
  }

  produce(keys: readonly string[], create = false): { readonly type: string } {
    const messages = keys.map((key) => newMessage({ key }));
    return this.ask((done) => this.service.produce({ queue: "q", messages, ifFence: null, create }, options, done));
  }
}

/** One key for each of two partitions. */
const [left, right] = [0, 1].map((wanted) => {
  for (let number = 0; ; number++) if (partitionOf(`k${number}`, 2) === wanted) return `k${number}`;
}) as [string, string];

test("a queue that was defined through another node is found, and its shard is told", () => {
  const r = new Rig();
  r.define(1);
  r.behind = true;
  expect(r.produce(["a"])).toMatchObject({ type: "produced" });
  // The shard had not heard of it at first.
  expect(r.commands.map(({ type }) => type)).toEqual(["produce", "produce"]);
});

test("a newer definition reaches the shard with the produce that knows it", () => {
  const r = new Rig();
  r.define(1);
  r.produce(["a"]);
  r.ask((done) => r.truth.define("q", { maxMessages: 1 }, "update", options, done));
  expect(r.produce(["a"])).toEqual({ type: "queue-full", limit: "messages", max: 1 });
});

test("only a fresh read says that a queue is not there, and a produce may make it", () => {
  const r = new Rig();
  expect(r.produce(["a"])).toEqual({ type: "unknown-queue", name: "q" });
  expect(r.produce(["a"], true)).toMatchObject({ type: "produced", queue: 1 });
});

test("a queue that was deleted and made again is found under its name", () => {
  const r = new Rig();
  r.define(1);
  r.produce(["a"]);
  const old = r.truth.queue("q");
  r.ask((done) => r.truth.remove("q", options, done));
  r.inner.configure(1, null);
  r.define(1);
  // The node still has the old number, until it asks.
  const stale = r.truth.queue.bind(r.truth);
  let isStale = true;
  r.truth.queue = (name) => (isStale ? ((isStale = false), old) : stale(name));
  expect(r.produce(["a"])).toMatchObject({ type: "produced", queue: 2 });
});

test("of several partitions one that fails fails the produce, and what is unknown comes first", () => {
  const r = new Rig();
  r.define(2);
  r.instead = (partition) => (partition === 1 ? down : null);
  expect(r.produce([left, right])).toEqual(down);
  r.instead = (partition) => (partition === 1 ? { type: "unknown", requestId: "x" } : down);
  expect(r.produce([left, right])).toEqual({ type: "unknown", requestId: "x" });
});

test("what was reached in each partition is told; what is asked for reaches each of them", () => {
  const r = new Rig();
  r.define(2);
  const reached = new Map<number, Durability>();
  const produce = (ack: Durability): unknown => {
    const messages = [left, right, left].map((key) => newMessage({ key }));
    return r.ask((done) => r.service.produce({ queue: "q", messages, ifFence: null, create: false, ack }, options, done));
  };
  r.instead = (partition) => {
    const result = {
      type: "produced",
      partition,
      messages: [
        { sequence: 1, duplicate: false },
        { sequence: 2, duplicate: false },
      ],
    } as const;
    return { type: "answered", requestId: "x", durability: reached.get(partition) ?? "memory", result };
  };
  const weaker: readonly (readonly [Durability, Durability])[] = [
    ["primary", "replicas:1"],
    ["replicas:1", "replicas:2"],
    ["primary", "aof"],
    ["memory", "quorum"],
  ];
  for (const [weak, strong] of weaker) {
    for (const both of [
      [weak, strong],
      [strong, weak],
    ] as const) {
      both.forEach((durability, partition) => reached.set(partition, durability));
      expect(produce("replicas:2")).toMatchObject({ type: "produced", durability: weak });
    }
  }
  expect(new Set(r.asked)).toEqual(new Set(["replicas:2"]));
});

test("receipts that could not be decided have an unknown fate, unless all failed", () => {
  const r = new Rig();
  r.define(2);
  r.produce([left, right]);
  const receipts = [0, 1].flatMap((partition) => {
    const outcome = r.ask<Consumed | QueueFailure>((done) => {
      const numbers = { maxMessages: 1, maxBytes: 0, visibilityMs: 0, waitMs: 0 };
      const start = { type: "earliest" } as const;
      r.service.consume({ queue: "q", group: "g", consumer: "c", ...numbers, autoAck: false, start, partition }, options, done);
    });
    return outcome.type === "consumed" ? outcome.messages.map(({ receipt }) => receipt) : [];
  });
  expect(receipts.length).toBe(2);
  const settle = (): Settled | QueueFailure =>
    r.ask((done) => r.service.settle({ queue: "q", receipts, settlement: "ack", delayMs: -1, reason: "" }, options, done));
  r.instead = () => down;
  expect(settle()).toEqual(down);
  r.instead = (partition) => (partition === 1 ? down : null);
  expect(settle()).toEqual({ type: "settled", outcomes: ["settled", "unknown-fate"] });
  r.instead = () => null;
  expect(settle()).toEqual({ type: "settled", outcomes: ["unknown", "settled"] });
});

test("commands of one call with an idempotency key are callers of their own, short enough for the wire", () => {
  const r = new Rig();
  r.define(2);
  const keyed = { ...options, idempotency: { key: "k".repeat(40), fingerprint: "f" } };
  const messages = [left, right].map((key) => newMessage({ key }));
  const produce = (): unknown => r.ask((done) => r.service.produce({ queue: "q", messages, ifFence: null, create: false }, keyed, done));
  const first = produce();
  expect(first).toMatchObject({ type: "produced", messages: [{ duplicate: false }, { duplicate: false }] });
  expect(produce()).toEqual(first);
});
