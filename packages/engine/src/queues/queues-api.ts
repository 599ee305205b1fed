import type { BrowsedMessage, PlacementView, QueueView } from "@trivet/core";
import type { Begun, GroupStart, HandedOut, NewMessage, QueueSettings, SettleOutcome, Settlement } from "@trivet/wire";
import type { Submission, Unavailable, Unknown } from "../node/node-api.ts";
import type { Durability, PartitionStats } from "../ports/queue-storage.ts";

export type { QueueSettings };

/** Expected refusals, as values. `names the limit` where there is one. */
export type QueueRefusal =
  | { readonly type: "unknown-queue"; readonly name: string }
  | { readonly type: "queue-exists"; readonly queue: QueueView }
  /** `partitions` is fixed at creation. */
  | { readonly type: "fixed"; readonly field: "partitions"; readonly value: number; readonly asked: number }
  | { readonly type: "too-many-queues"; readonly max: number }
  | { readonly type: "queue-full"; readonly limit: "messages" | "bytes"; readonly max: number }
  | { readonly type: "fence-behind"; readonly lock: string; readonly highest: string }
  | { readonly type: "no-group"; readonly group: string }
  /** A partition has no room for another. */
  | { readonly type: "too-many-groups"; readonly max: number }
  /** The same idempotency key came with another body (rule X2), or came too late (rule X1). */
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "malformed"; readonly detail: string }
  | { readonly type: "not-supported"; readonly detail: string };
export type QueueFailure = QueueRefusal | Unavailable | Unknown;

export interface QueueCallOptions {
  /** Give up after so long, waits included. */
  readonly timeoutMs: number;
  readonly idempotency?: { readonly key: string; readonly fingerprint: string };
}

export interface ProduceRequest {
  readonly queue: string;
  readonly messages: readonly NewMessage[];
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
  /** Make the queue, with the defaults, if there is none. */
  readonly create: boolean;
  /** How safe the messages are to be before the answer; not given = as the storage is set up. The answer says what was reached. */
  readonly ack?: Durability;
}
export interface Produced {
  readonly type: "produced";
  readonly queue: number;
  /** In the order of the request. */
  readonly messages: readonly { readonly id: string; readonly partition: number; readonly sequence: number; readonly duplicate: boolean }[];
  /** Of each of the messages, at least. */
  readonly durability: Durability;
}

export interface ConsumeRequest {
  readonly queue: string;
  readonly group: string;
  readonly consumer: string;
  readonly maxMessages: number;
  /** 0 = the shard's limit. */
  readonly maxBytes: number;
  /** 0 = the queue's. */
  readonly visibilityMs: number;
  /** Long poll; 0 = answer at once. */
  readonly waitMs: number;
  readonly autoAck: boolean;
  readonly start: GroupStart;
  /** Null = all of the queue's. */
  readonly partition: number | null;
}
/** A message as a caller gets it. */
export interface Delivered extends HandedOut {
  /** Names the message for ever: queue, partition, sequence. */
  readonly id: string;
  /** Names this hand-out of it; see receipts.ts. */
  readonly receipt: string;
}
export interface Consumed {
  readonly type: "consumed";
  readonly messages: readonly Delivered[];
  readonly leaseMs: number;
}

export interface SettleRequest {
  /** Null = whatever queue and group the receipts name (S0's and S4's ack_token). */
  readonly queue: string | null;
  readonly receipts: readonly string[];
  readonly settlement: Settlement;
  /** -1 = the queue's back-off. */
  readonly delayMs: number;
  readonly reason: string;
}
export interface Settled {
  readonly type: "settled";
  /** In the order of the request. `foreign`: no receipt, or one of another queue; `unknown-fate`: asked, but no answer came in time. */
  readonly outcomes: readonly (SettleOutcome | "foreign" | "unknown-fate")[];
}

export interface QueueDetails {
  readonly type: "details";
  readonly queue: QueueView;
  readonly partitions: readonly PartitionStats[];
}

/**
 * Queues by name, from any node: what HTTP, the stream, and programs that embed a node call. Whichever storage keeps the messages. Callbacks come
 * later, never inside the call, and exactly once.
 */
export interface QueuesApi {
  readonly backend: "embedded" | "redis" | "memory";
  /** `create` refuses an existing queue, `update` an unknown one, `ensure` takes either. Fields left out keep their value, or get the default. */
  define(
    name: string,
    settings: Partial<QueueSettings>,
    mode: "create" | "update" | "ensure",
    options: QueueCallOptions,
    done: (outcome: { readonly type: "defined"; readonly created: boolean; readonly queue: QueueView } | QueueFailure) => void,
  ): void;
  remove(name: string, options: QueueCallOptions, done: (outcome: { readonly type: "removed" } | QueueFailure) => void): void;
  /** By prefix, in the order of the names; `next` null = that was all. */
  list(
    prefix: string,
    cursor: string,
    limit: number,
    timeoutMs: number,
    done: (outcome: { readonly type: "listed"; readonly queues: readonly QueueView[]; readonly next: string | null } | Unavailable) => void,
  ): void;
  details(name: string, timeoutMs: number, done: (outcome: QueueDetails | QueueFailure) => void): void;
  produce(request: ProduceRequest, options: QueueCallOptions, done: (outcome: Produced | QueueFailure) => void): void;
  /** `abandon`: the client went away; what it would be handed is released. An unknown queue gives an empty list (contract), at once. */
  /** Told once whether a queue of that name is known here, by `waitMs` from now at the latest. Returns how to stop waiting, which tells false. */
  awaitQueue(name: string, waitMs: number, told: (isThere: boolean) => void): () => void;
  consume(request: ConsumeRequest, options: QueueCallOptions, done: (outcome: Consumed | QueueFailure) => void): Submission;
  settle(request: SettleRequest, options: QueueCallOptions, done: (outcome: Settled | QueueFailure) => void): void;
  /** Every lease of the consumer is released (rule Q3); `begun` = what of it counts as failed, null = all. */
  consumerGone(queue: string, consumer: string, begun: Begun | null): void;
  createGroup(
    queue: string,
    group: string,
    start: GroupStart,
    options: QueueCallOptions,
    done: (outcome: { readonly type: "group"; readonly created: boolean } | QueueFailure) => void,
  ): void;
  deleteGroup(
    queue: string,
    group: string,
    options: QueueCallOptions,
    done: (outcome: { readonly type: "removed" } | QueueFailure) => void,
  ): void;
  purge(
    queue: string,
    dead: boolean,
    options: QueueCallOptions,
    done: (outcome: { readonly type: "counted"; readonly count: number } | QueueFailure) => void,
  ): void;
  /** `ids` empty = the oldest, up to `limit`. Fewer where a partition has no room; `queue-full` when there was room for none. */
  redrive(
    queue: string,
    ids: readonly string[],
    limit: number,
    options: QueueCallOptions,
    done: (outcome: { readonly type: "counted"; readonly count: number } | QueueFailure) => void,
  ): void;
  browse(
    queue: string,
    state: BrowsedMessage["state"],
    cursor: string,
    limit: number,
    timeoutMs: number,
    done: (
      outcome:
        | {
            readonly type: "browsed";
            readonly messages: readonly (BrowsedMessage & { readonly id: string })[];
            readonly next: string | null;
          }
        | QueueFailure,
    ) => void,
  ): void;
  /** Rule K5, in every shard of the queue. */
  raiseFence(
    queue: string,
    lock: string,
    fence: number,
    options: QueueCallOptions,
    done: (outcome: { readonly type: "raised" } | QueueFailure) => void,
  ): void;
  /** Which nodes hold which shard; null on a storage without owners, or before the first placement. */
  placement(): PlacementView | null;
}
