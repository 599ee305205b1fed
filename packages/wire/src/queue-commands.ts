import { type CacheCommand, cacheCommandNumbers } from "./cache-commands.ts";

/**
 * Commands of the shards (groups 1…S): queue messages. They travel in the same command frames as those of group 0 and are decided by the
 * shard's apply alone (rule G1). Numbers on the wire are append-only, see `shardCommandNumbers`.
 *
 * A queue is known to a shard by the number group 0 gave it at its creation; a partition by its index. A message is named by (queue,
 * partition, sequence): its `sequence` is its place in the order of becoming known, the first is 1.
 */

/** What a shard knows of a queue; written by group 0's definition, never changed by the shard (rule G1). */
export interface QueueDefinition {
  readonly name: string;
  /** Rises with each change; an older one than known is ignored. */
  readonly version: number;
  /** Fixed at creation: changing it would reorder keys. */
  readonly partitions: number;
  readonly visibilityMs: number;
  /** Genuine failures (nack, lost consumer) after which a message is dead; 0 = never. */
  readonly maxDeliveries: number;
  /** Hand-outs that led to nothing, those that were given back left out, after which a message is dead; 0 = never. */
  readonly maxAcquired: number;
  /** Linear back-off after a failure without a delay of its own: deliveries × so much. */
  readonly backoffMs: number;
  /** Messages not settled by every group, per partition; beyond it produces are refused. 0 = no limit. */
  readonly maxMessages: number;
  /** The same in body bytes. */
  readonly maxBytes: number;
  /** Time to live of messages without one of their own; 0 = for ever. */
  readonly ttlMs: number;
  /** How long a dedupe id is remembered. */
  readonly dedupeWindowMs: number;
  /** Leases per group and partition at a time; 0 = the limit of the shard. */
  readonly maxLeased: number;
  /** Hand-outs a second, per partition; 0 = no limit. */
  readonly ratePerSecond: number;
  /** Produced to, but not consumed from. */
  readonly paused: boolean;
}
/** What the owner of a queue may say; the rest of the definition is the system's. */
export type QueueSettings = Omit<QueueDefinition, "name" | "version">;

/** One message to produce. */
export interface NewMessage {
  /** Messages of one key keep their order; "" = none. */
  readonly key: string;
  readonly body: Uint8Array;
  /** Small pairs of text kept with the body: content type, trace context. */
  readonly headers: readonly (readonly [string, string])[];
  /** 0 is handed out first, 3 last. */
  readonly priority: number;
  /** Becomes ready so much later, in group time; 0 = now. */
  readonly delayMs: number;
  /** Or at this group time; 0 = `delayMs` decides. */
  readonly dueAt: number;
  /** 0 = the queue's. */
  readonly ttlMs: number;
  /** A second message with it within the window is not produced again; "" = none. */
  readonly dedupId: string;
}

/** What one hand-out of one message is named by: settling it with an older hand-out is refused visibly. */
export interface Receipt {
  readonly partition: number;
  readonly sequence: number;
  /** Rises with every hand-out of the message to the group. */
  readonly acquired: number;
  /** Of the group, see `HandedOut`: a group made again under its name knows nothing of this hand-out. 0 = not said, in commands of before it was. */
  readonly incarnation: number;
}

/** Proposed by the shard's leader when group 0's definition is newer. */
export interface ConfigureQueue {
  readonly type: "configure-queue";
  readonly queue: number;
  readonly definition: QueueDefinition;
}
/** The queue was deleted in group 0: everything of it goes, in bounded steps. */
export interface DropQueue {
  readonly type: "drop-queue";
  readonly queue: number;
  readonly version: number;
}
/** All messages of one command go to one partition; all or none. */
export interface Produce {
  readonly type: "produce";
  readonly queue: number;
  readonly partition: number;
  /** The version of the definition the sender knows: a shard that knows less answers `not-configured` (rule G1). */
  readonly version: number;
  readonly messages: readonly NewMessage[];
  /** Rule K5: only if `fence` is not behind what this shard has seen of the lock; null = no fence. */
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
}
/** Where a new consumer group begins. */
export type GroupStart = { readonly type: "earliest" } | { readonly type: "latest" };
/** Idempotent; a group of a partition comes into being by it, or at its first consume with `start`. */
export interface CreateGroup {
  readonly type: "create-group";
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
  readonly start: GroupStart;
}
export interface DeleteGroup {
  readonly type: "delete-group";
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
}
/** Hands out up to `maxMessages` of one partition. Never waits: waiting is done by the hosts, which know when something is ready. */
export interface Consume {
  readonly type: "consume";
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
  /** Who asks; what it holds is released when it is known to be gone (rule Q3). */
  readonly consumer: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** 0 = the queue's. */
  readonly visibilityMs: number;
  /** Settled at hand-out: at most once, as S0 and S4 ask for with `ack=auto`. */
  readonly autoAck: boolean;
  readonly start: GroupStart;
}
export const settlements = ["ack", "nack", "release", "extend", "dead"] as const;
/**
 * `ack`: done. `nack`: a failure, counted; again after `delayMs` (-1 = the queue's back-off). `release`: back unharmed, not counted as a
 * failure. `extend`: the lease lasts `delayMs` from now. `dead`: to the dead letters at once.
 */
export type Settlement = (typeof settlements)[number];
export interface Settle {
  readonly type: "settle";
  readonly queue: number;
  readonly group: string;
  readonly settlement: Settlement;
  readonly delayMs: number;
  /** Shown with a dead letter. */
  readonly reason: string;
  /** Each is decided by itself; the answer has one outcome for each. */
  readonly receipts: readonly Receipt[];
}
/** Leases that ran out at the leader (rule L3). Proposed by it alone. */
export interface ExpireLeases {
  readonly type: "expire-leases";
  readonly leases: readonly ExpiredLease[];
}
export interface ExpiredLease {
  readonly queue: number;
  readonly group: string;
  readonly receipt: Receipt;
  /** Extensions of the lease that the leader knew of: one that came to the log before its end prevails. */
  readonly extended: number;
}
/** What a consumer may have begun to work on: of each of these partitions the oldest of its hand-outs, at most so many. */
export interface Begun {
  readonly messages: number;
  /** Ascending. */
  readonly partitions: readonly number[];
}
/** The node that hosts a consumer's stream knows that it is gone: what it holds is handed out again at once (rule Q3). */
export interface ConsumerGone {
  readonly type: "consumer-gone";
  readonly queue: number;
  readonly consumer: string;
  /** Only this counts as failed (docs/decisions/0028-begun-messages.md); null = the consumer never said, and all that it held does. */
  readonly begun: Begun | null;
}
/** The shard decides by these rules from here on (see `shardRules`). Proposed by its leader. */
export interface AdoptRules {
  readonly type: "adopt-rules";
  readonly rules: number;
}
/** Removes every message that is not leased; `dead` = the dead letters instead. */
export interface PurgeQueue {
  readonly type: "purge-queue";
  readonly queue: number;
  readonly partition: number;
  readonly dead: boolean;
}
/** Dead letters become messages again, oldest first, with counters at 0 and a new place in the order. */
export interface Redrive {
  readonly type: "redrive";
  readonly queue: number;
  readonly partition: number;
  /** Empty = as many as `limit`. */
  readonly sequences: readonly number[];
  readonly limit: number;
  /** No more than the queue has room for; logs of before have some that go beyond. */
  readonly bounded: boolean;
}
/** Rule K5: the new holder of a lock commits its fence here before its first read. */
export interface RaiseFence {
  readonly type: "raise-fence";
  readonly lock: string;
  readonly fence: number;
}
/** Rule K5: no live lock has a lower fence; registers below may go. Proposed by the shard's leader. */
export interface FenceFloor {
  readonly type: "fence-floor";
  readonly fence: number;
}

export type QueueShardCommand =
  | ConfigureQueue
  | DropQueue
  | Produce
  | CreateGroup
  | DeleteGroup
  | Consume
  | Settle
  | ExpireLeases
  | ConsumerGone
  | AdoptRules
  | PurgeQueue
  | Redrive
  | RaiseFence
  | FenceFloor;
/** Whatever a shard's log holds. */
export type ShardCommand = QueueShardCommand | CacheCommand;
export type ShardCommandType = ShardCommand["type"];

/** Apart from those of group 0, so that a frame in the wrong group is `malformed` and changes nothing. Append only; never reuse. */
export const shardCommandNumbers: Readonly<Record<ShardCommandType, number>> = {
  "configure-queue": 64,
  "drop-queue": 65,
  produce: 66,
  "create-group": 67,
  "delete-group": 68,
  consume: 69,
  settle: 77,
  "expire-leases": 78,
  "consumer-gone": 80,
  "adopt-rules": 79,
  "purge-queue": 73,
  redrive: 81,
  "raise-fence": 75,
  "fence-floor": 76,
  ...cacheCommandNumbers,
};

/** Of commands whose receipts do not say the incarnation of their group, of redrives beyond the length of their queue, or that do not say what was begun: logs of before have them. */
export const formerShardCommandNumbers = { settle: 70, "expire-leases": 71, "consumer-gone": 72, redrive: 74 } as const;

/**
 * What commands that were always there do otherwise than before, as one number in the shard's state (docs/decisions/0028-begun-messages.md): all replicas
 * must change at the same entry. 0 = as ever; append only.
 */
export const shardRules = {
  /** Hand-outs are told in their order, and what is given back unharmed counts towards no limit. */
  begun: 1,
} as const;
/** The newest rules that this version knows. */
export const newestRules: number = shardRules.begun;
/** Messages that a consumer works on at a time, at most. */
export const maxBegun = 65_536;

export function isShardCommand(command: { readonly type: string }): command is ShardCommand {
  return Object.hasOwn(shardCommandNumbers, command.type);
}
