import type { Consumption, Delivery, QueueClient } from "../src/driver/queue-client.ts";

interface Reader {
  readonly group: string;
  free: number;
  readonly handler: (delivery: Delivery) => void;
}

/** A correct queue inside the process, FIFO, answering in a later turn. Tests add faults to it. */
export class FakeQueue implements QueueClient {
  readonly waiting: Map<string, Uint8Array[]> = new Map<string, Uint8Array[]>();
  readonly #readers: Reader[] = [];
  produced = 0;
  acked = 0;

  constructor(groups: readonly string[] = ["workers"]) {
    for (const group of groups) this.waiting.set(group, []);
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  async produce(_queue: string, body: Uint8Array, _key: string | null): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.produced++;
    for (const line of this.waiting.values()) line.push(body);
    this.#handOut();
  }

  #handOut(): void {
    for (const reader of this.#readers) {
      const line = this.waiting.get(reader.group) ?? [];
      while (reader.free > 0) {
        const body = line.shift();
        if (body === undefined) break;
        reader.free--;
        reader.handler(this.deliveryOf(reader, body));
      }
    }
  }

  deliveryOf(reader: Reader, body: Uint8Array): Delivery {
    const settle = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      reader.free++;
      this.#handOut();
    };
    return {
      body,
      ack: async () => {
        this.acked++;
        await settle();
      },
      release: async () => {
        this.waiting.get(reader.group)?.unshift(body);
        await settle();
      },
    };
  }

  consume(_queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const reader = { group, free: credit, handler };
    this.#readers.push(reader);
    this.#handOut();
    return Promise.resolve({
      stop: () => {
        this.#readers.splice(this.#readers.indexOf(reader), 1);
        return Promise.resolve();
      },
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
