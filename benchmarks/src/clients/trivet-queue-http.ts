import { Agent, request } from "node:http";
import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";

/**
 * Ours over plain HTTP. Produce is one call per message, settling one call per turn of the event loop; a consumer keeps one long poll under way.
 */

const connections = 64;
const pollMs = 20_000;
const timeoutMs = 30_000;
const maxReceipts = 100;

interface ConsumeReply {
  readonly messages: readonly { readonly receipt: string; readonly body: string }[];
}

interface Settling {
  readonly receipt: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Receipts of one turn travel in one call. */
class Settler {
  readonly #send: (receipts: readonly string[]) => Promise<void>;
  #waiting: Settling[] = [];

  constructor(send: (receipts: readonly string[]) => Promise<void>) {
    this.#send = send;
  }

  settle(receipt: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ receipt, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(this.#flush);
    });
  }

  readonly #flush = (): void => {
    const all = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < all.length; at += maxReceipts) {
      const some = all.slice(at, at + maxReceipts);
      this.#send(some.map(({ receipt }) => receipt)).then(
        () => {
          for (const { resolve } of some) resolve();
        },
        (error: unknown) => {
          for (const { reject } of some) reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    }
  };
}

export class TrivetHttpQueueClient implements QueueClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connections, noDelay: true });
  readonly #urls: readonly string[];
  #current = 0;

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  async open(queue: string, { groups, onePartition }: QueueShape): Promise<void> {
    await this.#call("PUT", `/v1/queues/${queue}`, { max_messages: 0, ...(onePartition ? { partitions: 1 } : {}) });
    for (const group of groups) await this.#call("PUT", `/v1/queues/${queue}/groups/${group}`, {});
  }

  async produce(queue: string, body: Uint8Array, key: string | null): Promise<void> {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
    await this.#call("POST", `/v1/queues/${queue}/messages`, key === null ? { body: text } : { body: text, key });
  }

  consume(queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const path = `/v1/queues/${queue}`;
    const acks = new Settler(async (receipts) => {
      await this.#call("POST", `${path}/ack`, { receipts });
    });
    const releases = new Settler(async (receipts) => {
      await this.#call("POST", `${path}/release`, { receipts });
    });
    const end = new AbortController();
    let free = credit;
    let wake: (() => void) | null = null;
    const deliver = (receipt: string, body: string): void => {
      let settled = false;
      const settle = async (settler: Settler): Promise<void> => {
        await settler.settle(receipt);
        if (settled) return;
        settled = true;
        free++;
        wake?.();
        wake = null;
      };
      free--;
      handler({ body: Buffer.from(body, "latin1"), ack: () => settle(acks), release: () => settle(releases) });
    };
    const poll = async (): Promise<void> => {
      const consumer = `benchmark-${process.pid}`;
      while (!end.signal.aborted) {
        if (free === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        try {
          const asked = { group, consumer, max: Math.min(free, maxReceipts), wait_ms: pollMs };
          const { messages } = (await this.#call("POST", `${path}/consume`, asked, end.signal)) as ConsumeReply;
          for (const { receipt, body } of messages) deliver(receipt, body);
        } catch {
          // The node is gone or has no leader yet: ask the next one, after a moment.
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    };
    const polling = poll();
    return Promise.resolve({
      stop: async () => {
        end.abort();
        wake?.();
        await polling;
      },
    });
  }

  /** One call at the node in use; a failure makes the next call go to the next node. */
  async #call(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<unknown> {
    const used = this.#current;
    try {
      return await this.#send(`${this.#urls[used % this.#urls.length]}${path}`, method, body, signal);
    } catch (error) {
      if (signal?.aborted !== true && this.#current === used) this.#current++;
      throw error;
    }
  }

  #send(url: string, method: string, body: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { "content-type": "application/json", "content-length": bytes.length };
    return new Promise((resolve, reject) => {
      const options = { method, agent: this.#agent, headers, timeout: timeoutMs, ...(signal === undefined ? {} : { signal }) };
      const call = request(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString();
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) resolve(text === "" ? null : JSON.parse(text));
          else reject(new Error(`${method} ${new URL(url).pathname} answered ${status}: ${text.slice(0, 200)}`));
        });
      });
      call.once("error", reject);
      call.once("timeout", () => {
        call.destroy(new Error(`no answer within ${timeoutMs} ms`));
      });
      call.end(bytes);
    });
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }
}
