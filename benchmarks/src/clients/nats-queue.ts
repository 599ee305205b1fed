import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";
import { pause, waitFor } from "../waiting.ts";
import { requirePeer } from "./peer-modules.ts";

const readyMs = 30_000;
/** How long an un-acked message stays with a consumer that says nothing. */
const ackWaitNs = 30e9;
/** Left to its defaults the library notices only after half a minute that a consumer's leader is gone, and after five seconds that an answer is. */
const pull = { expires: 5000, idle_heartbeat: 500 } as const;
const publishMs = 1000;

interface Message {
  readonly data: Uint8Array;
  /** Confirmed by the server, unlike `ack`. */
  ackAck(): Promise<boolean>;
  nak(): void;
}
interface Consumer {
  consume(options: {
    readonly max_messages: number;
    readonly expires: number;
    readonly idle_heartbeat: number;
    readonly callback: (message: Message) => void;
  }): Promise<{ close(): Promise<unknown> }>;
}
interface JetStream {
  publish(subject: string, data: Uint8Array, options?: { readonly timeout: number }): Promise<unknown>;
  readonly consumers: { get(stream: string, durable: string): Promise<Consumer> };
}
interface StreamInfo {
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly current: boolean }[] };
}
interface Manager {
  readonly streams: { add(config: Record<string, unknown>): Promise<StreamInfo>; info(name: string): Promise<StreamInfo> };
  readonly consumers: { add(stream: string, config: Record<string, unknown>): Promise<unknown> };
}
interface Connection {
  jetstream(): JetStream;
  jetstreamManager(): Promise<Manager>;
  close(): Promise<void>;
}
interface NatsModule {
  connect(
    this: void,
    options: {
      readonly servers: readonly string[];
      readonly noRandomize: boolean;
      readonly maxReconnectAttempts: number;
      readonly reconnectTimeWait: number;
    },
  ): Promise<Connection>;
}

/** JetStream: a stream with three replicas in files, one durable consumer per group, connected to the node that leads the stream. */
export class NatsQueueClient implements QueueClient {
  readonly #nats: NatsModule;
  /** In the order of the nodes' names n1, n2, n3. */
  readonly #urls: readonly string[];
  #connection: Connection;
  #jetstream: JetStream;

  private constructor(nats: NatsModule, urls: readonly string[], connection: Connection) {
    this.#nats = nats;
    this.#urls = urls;
    this.#connection = connection;
    this.#jetstream = connection.jetstream();
  }

  static async connect(urls: readonly string[]): Promise<NatsQueueClient> {
    const nats = requirePeer("nats") as NatsModule;
    return new NatsQueueClient(nats, urls, await NatsQueueClient.#connectTo(nats, urls));
  }

  static #connectTo(nats: NatsModule, urls: readonly string[]): Promise<Connection> {
    const servers = urls.map((url) => new URL(url).host);
    return nats.connect({ servers, noRandomize: true, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  }

  async open(queue: string, { groups, keyed }: QueueShape): Promise<void> {
    if (keyed) throw new Error("JetStream has no order within keys across consumers");
    const manager = await this.#connection.jetstreamManager();
    // A work queue lets one consumer have each message; with several, a message goes when all of them have acked it.
    const retention = groups.length > 1 ? "interest" : "workqueue";
    const shape = { retention, storage: "file", num_replicas: 3, discard: "new", duplicate_window: 1e9 };
    await waitFor(
      "JetStream takes the stream",
      readyMs,
      async () => {
        await manager.streams.add({ name: queue, subjects: [queue], ...shape });
        return true;
      },
      250,
    );
    for (const group of groups) {
      const config = { durable_name: group, ack_policy: "explicit", ack_wait: ackWaitNs, max_ack_pending: 100_000 };
      await manager.consumers.add(queue, config);
    }
    const leader = await waitFor("the stream has its replicas and a leader", readyMs, async () => {
      const { cluster } = await manager.streams.info(queue);
      return (cluster?.replicas ?? []).filter(({ current }) => current).length === 2 ? (cluster?.leader ?? null) : null;
    });
    await this.#moveTo(Number(leader.slice(1)) - 1);
  }

  /** What other clients get by luck: no hop between the client's node and the leader's. */
  async #moveTo(index: number): Promise<void> {
    const first = this.#urls[index];
    if (first === undefined) throw new Error("a leader that is none of the nodes");
    await this.#connection.close();
    this.#connection = await NatsQueueClient.#connectTo(this.#nats, [first, ...this.#urls.filter((url) => url !== first)]);
    this.#jetstream = this.#connection.jetstream();
  }

  async produce(queue: string, body: Uint8Array): Promise<void> {
    await this.#jetstream.publish(queue, body, { timeout: publishMs });
  }

  async consume(queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const callback = (message: Message): void => {
      const ack = async (): Promise<void> => {
        if (!(await message.ackAck())) throw new Error("the ack was not confirmed");
      };
      const release = (): Promise<void> => {
        message.nak();
        return pause(0);
      };
      handler({ body: message.data, ack, release });
    };
    const consumer = await this.#jetstream.consumers.get(queue, group);
    const messages = await consumer.consume({ max_messages: credit, ...pull, callback });
    return {
      stop: async () => {
        await messages.close();
      },
    };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
