import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";
import { requirePeer } from "./peer-modules.ts";

interface Job {
  readonly id: string;
  readonly data: { readonly body: string };
}
interface Queue {
  waitUntilReady(): Promise<unknown>;
  add(name: string, data: Job["data"], options: { readonly removeOnComplete: boolean; readonly removeOnFail: boolean }): Promise<unknown>;
  close(): Promise<void>;
}
interface Worker {
  waitUntilReady(): Promise<unknown>;
  on(event: "completed", listener: (job: Job) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  close(): Promise<void>;
}
interface Connection {
  readonly host: string;
  readonly port: number;
  readonly maxRetriesPerRequest: null;
}
interface BullModule {
  readonly Queue: new (name: string, options: { readonly connection: Connection }) => Queue;
  readonly Worker: new (
    name: string,
    process: (job: Job) => Promise<void>,
    options: { readonly connection: Connection; readonly concurrency: number },
  ) => Worker;
}

/** BullMQ as its users write it: `queue.add`, a Worker whose concurrency is the credit; an ack is a processor that returns. */
export class BullQueueClient implements QueueClient {
  readonly #bull: BullModule;
  readonly #connection: Connection;
  readonly #queues = new Map<string, Queue>();

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#bull = requirePeer("bullmq") as BullModule;
    this.#connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = new this.#bull.Queue(name, { connection: this.#connection });
    this.#queues.set(name, queue);
    return queue;
  }

  async open(name: string, { groups, keyed }: QueueShape): Promise<void> {
    if (keyed || groups.length > 1) throw new Error("BullMQ has no order within keys and no groups");
    await this.#queue(name).waitUntilReady();
  }

  async produce(name: string, body: Uint8Array): Promise<void> {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
    await this.#queue(name).add("message", { body: text }, { removeOnComplete: true, removeOnFail: true });
  }

  async consume(name: string, _group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const confirmed = new Map<string, () => void>();
    const processor = (job: Job): Promise<void> => {
      return new Promise((resolve, reject) => {
        const ack = (): Promise<void> => {
          return new Promise((done) => {
            confirmed.set(job.id, done);
            resolve();
          });
        };
        const release = (): Promise<void> => {
          reject(new Error("given back"));
          return Promise.resolve();
        };
        handler({ body: Buffer.from(job.data.body, "latin1"), ack, release });
      });
    };
    const worker = new this.#bull.Worker(name, processor, { connection: this.#connection, concurrency: credit });
    worker.on("completed", ({ id }) => {
      confirmed.get(id)?.();
      confirmed.delete(id);
    });
    worker.on("error", (error) => {
      process.stderr.write(`bullmq: ${error.message}\n`);
    });
    await worker.waitUntilReady();
    return { stop: () => worker.close() };
  }

  async close(): Promise<void> {
    for (const queue of this.#queues.values()) await queue.close();
  }
}
