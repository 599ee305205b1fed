import type { BrowsedMessage, BrowseState, PartitionCounts, RememberedAnswer, ShardAnswer } from "@trivet/core";
import type {
  ConsumerGone,
  Consume,
  CreateGroup,
  DeleteGroup,
  Produce,
  PurgeQueue,
  QueueDefinition,
  RaiseFence,
  Redrive,
  Settle,
} from "@trivet/wire";
import type { Submission, SubmitOptions, Unavailable, Unknown } from "./calls.ts";

/** What callers ask of a storage. Leaders' commands (configure, drop, expiry) are a storage's own business. */
export type StorageCommand = Produce | CreateGroup | DeleteGroup | Consume | Settle | ConsumerGone | PurgeQueue | Redrive | RaiseFence;

/** How safe an acknowledged produce is: `quorum` = fsynced on a majority; on Redis what was asked for and confirmed; `memory` = not at all. */
export type Durability = "quorum" | "memory" | "primary" | "aof" | `replicas:${number}`;

export interface StorageOptions extends SubmitOptions {
  /** How safe a produce is to be before it is answered; not given = as the storage is set up. One that always reaches more needs not be told. */
  readonly ack?: Durability;
}

export type StorageOutcome =
  | { readonly type: "answered"; readonly result: ShardAnswer; readonly requestId: string; readonly durability: Durability }
  /** Nothing happened. Also of a Redis that cannot be reached: code `redis_unavailable`. */
  | Unavailable
  | Unknown;

export interface PartitionStats extends PartitionCounts {
  /** Of the shard; empty where that has no meaning. */
  readonly leader: string;
}

/** Questions that change nothing; linearizable. */
export type StorageQuery =
  | { readonly type: "stats"; readonly queue: number; readonly partition: number }
  | {
      readonly type: "browse";
      readonly queue: number;
      readonly partition: number;
      readonly state: BrowseState;
      /** Begins after this place; "" = at the first. From an earlier answer. */
      readonly cursor: string;
      readonly limit: number;
    };
export type StorageReply =
  | { readonly type: "stats"; readonly stats: PartitionStats }
  | { readonly type: "browsed"; readonly messages: readonly BrowsedMessage[]; readonly next: string | null }
  | Unavailable;

/** What became of an earlier call (rule X3). `invalid`: its id names none whose answer is kept. */
export type KeptOutcome =
  | { readonly type: "shard-answered"; readonly answer: RememberedAnswer }
  | { readonly type: "pending" | "gone" | "invalid" }
  | Unavailable;

/**
 * Where messages are kept: embedded shards, Redis, or memory (tests). One behaviour suite (`conformance/queue-storage.ts`) runs on all.
 * Definitions come from group 0 in every case. All callbacks come later, never inside the call.
 */
export interface QueueStorage {
  readonly backend: "embedded" | "redis" | "memory";
  /** Executes one command of one partition (`consumer-gone` and `raise-fence` name none: partition 0 of their queue is their place, see below). */
  submit(
    place: { readonly queue: number; readonly partition: number },
    command: StorageCommand,
    options: StorageOptions,
    done: (outcome: StorageOutcome) => void,
  ): Submission;
  query(query: StorageQuery, timeoutMs: number, done: (reply: StorageReply) => void): void;
  /** By the id that its outcome had. Not there where ids are those of a log. */
  request?(requestId: string, timeoutMs: number, done: (outcome: KeptOutcome) => void): void;
  /** The same, by the idempotency key of the call: `gone` = no answer is kept now. Not there where a log says whether a call came too late. */
  kept?(
    place: { readonly queue: number; readonly partition: number },
    key: string,
    timeoutMs: number,
    done: (outcome: KeptOutcome) => void,
  ): void;
  /** Group 0 has a newer definition, or null: the queue is gone for good. Idempotent; also called for all queues at the start. */
  configure(queue: number, definition: QueueDefinition | null): void;
  /**
   * Tells when a group that was answered without `more` may have something; all partitions with `partition` -1 (a reconnect: nobody knows).
   * A hint: it may be said too often, never too seldom.
   */
  watchReady(listener: (queue: number, partition: number, group: string) => void): () => void;
}
