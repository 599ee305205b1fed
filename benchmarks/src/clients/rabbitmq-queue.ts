import type { Consumption, Delivery, QueueClient, QueueShape } from "../driver/queue-client.ts";
import { pause } from "../waiting.ts";
import { requirePeer } from "./peer-modules.ts";

const reconnectMs = 20;

interface Message {
  readonly content: Buffer;
}
interface Channel {
  assertQueue(queue: string, options: { readonly durable: boolean; readonly arguments: Record<string, unknown> }): Promise<unknown>;
  assertExchange(exchange: string, type: string, options: { readonly durable: boolean }): Promise<unknown>;
  bindQueue(queue: string, exchange: string, pattern: string): Promise<unknown>;
  publish(
    exchange: string,
    routingKey: string,
    content: Uint8Array,
    options: { readonly persistent: boolean },
    confirmed: (error: Error | null) => void,
  ): boolean;
  prefetch(count: number): Promise<unknown>;
  consume(queue: string, onMessage: (message: Message | null) => void): Promise<{ readonly consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  ack(message: Message): void;
  nack(message: Message, allUpTo: boolean, requeue: boolean): void;
  on(event: "error", listener: (error: Error) => void): void;
  close(): Promise<void>;
}
interface Connection {
  createConfirmChannel(): Promise<Channel>;
  createChannel(): Promise<Channel>;
  on(event: "error" | "close", listener: (error?: Error) => void): void;
  close(): Promise<void>;
}
interface AmqpModule {
  connect(url: string, options: { readonly noDelay: boolean }): Promise<Connection>;
}

/** A consumer as it is to be, whatever becomes of the connection. */
interface Subscription {
  readonly queue: string;
  readonly credit: number;
  readonly handler: (delivery: Delivery) => void;
  channel: Channel | null;
  tag: string;
}

/** What amqplib does at once or refuses by throwing, as a promise. */
function settle(act: () => void): Promise<void> {
  try {
    act();
    return Promise.resolve();
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

function queueName(queue: string, group: string): string {
  return `${queue}.${group}`;
}

/**
 * Quorum queues over amqplib: publisher confirms on one channel, a channel with prefetch for each consumer. A queue is led by the node it was
 * declared at. RabbitMQ confirms no acks. A lost connection is made again at the next node, as its users have to do themselves.
 */
export class RabbitQueueClient implements QueueClient {
  readonly #amqp: AmqpModule;
  readonly #urls: readonly string[];
  readonly #routes = new Map<string, { readonly exchange: string; readonly routingKey: string }>();
  readonly #subscriptions = new Set<Subscription>();
  /** Produces without a confirm: amqplib forgets them when their connection breaks. */
  readonly #unconfirmed = new Set<(error: Error) => void>();
  #connection: Connection | null = null;
  #publisher: Channel | null = null;
  #closing = false;
  #current = 0;

  private constructor(urls: readonly string[]) {
    this.#amqp = requirePeer("amqplib") as AmqpModule;
    this.#urls = urls;
  }

  static async connect(urls: readonly string[]): Promise<RabbitQueueClient> {
    const client = new RabbitQueueClient(urls);
    await client.#connect();
    return client;
  }

  async #connect(): Promise<void> {
    const connection = await this.#amqp.connect(this.#urls[this.#current % this.#urls.length] ?? "", { noDelay: true });
    connection.on("error", (error) => {
      process.stderr.write(`rabbitmq: ${error?.message ?? "unknown error"}\n`);
    });
    connection.on("close", () => {
      if (this.#connection !== connection) return;
      this.#connection = null;
      this.#publisher = null;
      for (const reject of this.#unconfirmed) reject(new Error("the connection was lost"));
      this.#unconfirmed.clear();
      if (!this.#closing) void this.#reconnect();
    });
    await this.#openPublisher(connection);
    for (const subscription of this.#subscriptions) await this.#subscribe(connection, subscription);
    this.#connection = connection;
  }

  async #openPublisher(connection: Connection): Promise<void> {
    const channel = await connection.createConfirmChannel();
    channel.on("error", (error) => {
      process.stderr.write(`rabbitmq: ${error.message}\n`);
    });
    this.#publisher = channel;
  }

  /** A channel whose queue has changed its leader refuses everything from then on: publishers have to open another. */
  async #leave(channel: Channel): Promise<void> {
    const connection = this.#connection;
    if (this.#publisher !== channel || connection === null) return;
    this.#publisher = null;
    try {
      await channel.close();
      await this.#openPublisher(connection);
    } catch (error) {
      // The connection is gone as well; its end makes another, with a publisher.
      process.stderr.write(`rabbitmq: ${String(error)}\n`);
    }
  }

  async #reconnect(): Promise<void> {
    while (!this.#closing) {
      this.#current++;
      try {
        await this.#connect();
        return;
      } catch {
        await pause(reconnectMs);
      }
    }
  }

  async open(queue: string, { groups, keyed }: QueueShape): Promise<void> {
    if (keyed) throw new Error("a quorum queue has no order within keys across consumers");
    const channel = this.#publisher;
    if (channel === null) throw new Error("not connected");
    for (const group of groups) {
      const args = { "x-queue-type": "quorum", "x-quorum-initial-group-size": 3 };
      await channel.assertQueue(queueName(queue, group), { durable: true, arguments: args });
    }
    if (groups.length === 1) {
      this.#routes.set(queue, { exchange: "", routingKey: queueName(queue, groups[0] ?? "") });
      return;
    }
    await channel.assertExchange(queue, "fanout", { durable: true });
    for (const group of groups) await channel.bindQueue(queueName(queue, group), queue, "");
    this.#routes.set(queue, { exchange: queue, routingKey: "" });
  }

  produce(queue: string, body: Uint8Array): Promise<void> {
    const route = this.#routes.get(queue);
    const channel = this.#publisher;
    if (route === undefined || channel === null) return Promise.reject(new Error("not connected"));
    return new Promise((resolve, reject) => {
      this.#unconfirmed.add(reject);
      channel.publish(route.exchange, route.routingKey, body, { persistent: true }, (error) => {
        this.#unconfirmed.delete(reject);
        if (error === null || error === undefined) {
          resolve();
          return;
        }
        reject(error);
        void this.#leave(channel);
      });
    });
  }

  async #subscribe(connection: Connection, subscription: Subscription): Promise<void> {
    const channel = await connection.createChannel();
    channel.on("error", (error) => {
      process.stderr.write(`rabbitmq: ${error.message}\n`);
    });
    await channel.prefetch(subscription.credit);
    const { consumerTag } = await channel.consume(subscription.queue, (message) => {
      // Null: the queue is gone, or has lost its leader; the channel lives on.
      if (message === null) return;
      subscription.handler({
        body: message.content,
        ack: () =>
          settle(() => {
            channel.ack(message);
          }),
        release: () =>
          settle(() => {
            channel.nack(message, false, true);
          }),
      });
    });
    subscription.channel = channel;
    subscription.tag = consumerTag;
  }

  async consume(queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption> {
    const connection = this.#connection;
    if (connection === null) throw new Error("not connected");
    const subscription: Subscription = { queue: queueName(queue, group), credit, handler, channel: null, tag: "" };
    await this.#subscribe(connection, subscription);
    this.#subscriptions.add(subscription);
    return {
      stop: async () => {
        this.#subscriptions.delete(subscription);
        await subscription.channel?.cancel(subscription.tag);
        await subscription.channel?.close();
      },
    };
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#connection?.close();
  }
}
