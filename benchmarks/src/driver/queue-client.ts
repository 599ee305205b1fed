/**
 * A queue as the drivers see it. Every adapter of a subject implements it; what is measured is between the call and the promise. One process
 * drives one subject, from one client.
 */

export interface Delivery {
  readonly body: Uint8Array;
  /** Resolves when the subject has confirmed it, where it confirms acks at all. */
  ack(): Promise<void>;
  /** Gives the message back: it is to be handed out again, at once. */
  release(): Promise<void>;
}

export interface QueueShape {
  /** Each group gets every message. */
  readonly groups: readonly string[];
  /** Messages carry keys, and nothing may overtake within a key. Subjects that cannot promise that refuse. */
  readonly keyed: boolean;
  /** All of it in one partition: one leader decides about everything. */
  readonly onePartition: boolean;
}

/** A consumer that runs until it is stopped. What it holds then and nobody settled comes back to the queue. */
export interface Consumption {
  stop(): Promise<void>;
}

export interface QueueClient {
  /** Makes the queue and its groups, ready to serve. */
  open(queue: string, shape: QueueShape): Promise<void>;
  /** Resolves when the message is as safe as the subject's durability line says. `key` null = unordered. */
  produce(queue: string, body: Uint8Array, key: string | null): Promise<void>;
  /** At most `credit` messages are with the handler at a time, not counting those it has settled. */
  consume(queue: string, group: string, credit: number, handler: (delivery: Delivery) => void): Promise<Consumption>;
  close(): Promise<void>;
}
