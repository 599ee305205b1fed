import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";
import { requirePeer } from "./peer-modules.ts";

/** How long XREADGROUP waits before it is asked again. */
const blockMs = 500;

interface Connection {
  connect(): Promise<unknown>;
  duplicate(): Connection;
  sendCommand(args: readonly string[]): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): void;
  close(): Promise<void>;
  destroy(): void;
}
interface RedisModule {
  createClient(this: void, options: { readonly url: string; readonly RESP: 2 }): Connection;
}
type Entries = readonly (readonly [string, readonly (readonly [string, readonly string[]])[]])[];

function release(): Promise<void> {
  return Promise.reject(new Error("Redis Streams hand out again by XAUTOCLAIM after an idle time only"));
}

/**
 * Redis Streams: XADD, XREADGROUP, XACK + XDEL, over one connection of @redis/client, which pipelines the calls of a turn by itself, and one more for
 * each consumer's blocking reads. With several groups an entry stays after XACK: XDEL would take it from the others.
 */
export class RedisQueueClient implements QueueClient {
  readonly #connection: Connection;
  readonly #shared = new Set<string>();

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async connect(url: string): Promise<RedisQueueClient> {
    const { createClient } = requirePeer("@redis/client") as RedisModule;
    const connection = createClient({ url, RESP: 2 });
    connection.on("error", (error) => {
      process.stderr.write(`redis: ${error.message}\n`);
    });
    await connection.connect();
    return new RedisQueueClient(connection);
  }

  async open(queue: string, { groups, keyed }: QueueShape): Promise<void> {
    if (keyed) throw new Error("a stream has no order within keys across consumers");
    if (groups.length > 1) this.#shared.add(queue);
    for (const group of groups) {
      try {
        await this.#connection.sendCommand(["XGROUP", "CREATE", queue, group, "0", "MKSTREAM"]);
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith("BUSYGROUP")) throw error;
      }
    }
  }

  async produce(queue: string, body: Uint8Array): Promise<void> {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
    await this.#connection.sendCommand(["XADD", queue, "*", "b", text]);
  }

  async consume(queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const reader = this.#connection.duplicate();
    reader.on("error", (error) => {
      process.stderr.write(`redis: ${error.message}\n`);
    });
    await reader.connect();
    const shared = this.#shared.has(queue);
    let free = credit;
    const end = new AbortController();
    let wake: (() => void) | null = null;
    const settle = async (id: string): Promise<void> => {
      const acked = this.#connection.sendCommand(["XACK", queue, group, id]);
      const removed = shared ? Promise.resolve() : this.#connection.sendCommand(["XDEL", queue, id]);
      await Promise.all([acked, removed]);
      free++;
      wake?.();
      wake = null;
    };
    const read = async (): Promise<void> => {
      while (!end.signal.aborted) {
        if (free === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const options = ["GROUP", group, "benchmark", "COUNT", String(free), "BLOCK", String(blockMs), "STREAMS", queue, ">"];
        const streams = (await reader.sendCommand(["XREADGROUP", ...options])) as Entries | null;
        for (const [, entries] of streams ?? []) {
          for (const [id, fields] of entries) {
            free--;
            handler({ body: Buffer.from(fields[1] ?? "", "latin1"), ack: () => settle(id), release });
          }
        }
      }
    };
    const reading = read();
    return {
      stop: async () => {
        end.abort();
        wake?.();
        await reading;
        await reader.close();
      },
    };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
