import { bytesCodec, connect, type ConsumeOptions, type Queue, type TrivetConnection } from "@trivet/client";
import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";

/** The SDK as a program uses it: one connection, promises, a consumer with credit per group. */
export class TrivetQueueClient implements QueueClient {
  readonly #connection: TrivetConnection;
  readonly #queues = new Map<string, Queue<Uint8Array>>();

  private constructor(connection: TrivetConnection) {
    this.#connection = connection;
  }

  static async connect(urls: readonly string[]): Promise<TrivetQueueClient> {
    return new TrivetQueueClient(await connect(urls, { connectTimeoutMs: 30_000, label: "benchmark" }));
  }

  #queue(name: string): Queue<Uint8Array> {
    let queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, (queue = this.#connection.queue(name, { codec: bytesCodec })));
    return queue;
  }

  async open(name: string, { groups, onePartition }: QueueShape): Promise<void> {
    const queue = this.#queue(name);
    await queue.ensure({ maxMessages: 0, ...(onePartition ? { partitions: 1 } : {}) });
    for (const group of groups) await queue.createGroup(group);
  }

  async produce(name: string, body: Uint8Array, key: string | null): Promise<void> {
    await this.#queue(name).produce(body, key === null ? {} : { key });
  }

  consume(name: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const options: ConsumeOptions = { group, credit };
    const consumer = this.#queue(name).consume(options);
    const reading = (async () => {
      for await (const message of consumer) {
        handler({ body: message.bytes, ack: () => message.ack(), release: () => message.release() });
      }
    })();
    return Promise.resolve({
      stop: async () => {
        await consumer.close();
        await reading;
      },
    });
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
