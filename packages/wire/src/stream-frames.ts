import type { Begun, QueueSettings } from "./queue-commands.ts";
import type {
  CacheInvalidated,
  CacheLoaded,
  InvalidateCache,
  LoadCached,
  NamespaceResolved,
  ResolveNamespace,
  ToHolders,
  ToHomes,
} from "./stream-cache-frames.ts";
import type { Result } from "./results.ts";
import type { TraceContext } from "./trace-context.ts";

/**
 * The binary protocol of `GET /v1/stream` (WebSocket). One WebSocket message is one frame: a type byte, then the fields. A whole
 * turn of commands, or of answers, is one frame (docs/decisions/0002-hot-path.md).
 *
 * Versions. `hello` is the client's first frame and begins with the newest protocol it speaks; that layout never changes. The node
 * answers `welcome` with the protocol both will use, the smaller of the two newest, or `closing` with code `protocol` when it no
 * longer speaks one so old. Any change of a frame's fields, and any new frame type, takes a new protocol number; a frame of unknown
 * type is answered with `closing`, code `protocol`. Nothing but `hello` may be sent before `welcome` has arrived.
 */
export const streamProtocol = 9;
/**
 * The oldest protocol whose queues are spoken: frames of the shards, `resolve-queue` and `watch-queue`. Hand-outs of protocol 2 did not name the
 * incarnation of their group, so its queues are not.
 */
export const queueStreamProtocol = 3;
/** The oldest protocol with cached values: programs hold copies of their own (docs/decisions/0017-near-cache.md). */
export const cacheStreamProtocol = 4;
/** The oldest protocol whose programs read and write compressed values (docs/decisions/0024-compressed-values.md), and have values loaded from origins. */
export const packedStreamProtocol = 5;
/** The oldest protocol whose nodes answer programs that keep no copies from their own (docs/decisions/0027-reads-without-copies.md). */
export const nodeCopiesStreamProtocol = 6;
/** The oldest protocol whose programs say what they have begun (docs/decisions/0028-begun-messages.md). */
export const begunStreamProtocol = 7;
/** The oldest protocol whose nodes keep the loaders of programs apart (docs/decisions/0031-loaders-of-programs.md). */
export const claimsStreamProtocol = 7;
/** The oldest protocol whose nodes read frames of ordered producers (docs/decisions/0029-ordered-producers.md); others get them without their order. */
export const orderedStreamProtocol = 8;
/** The oldest protocol whose nodes read which traces a frame belongs to (docs/decisions/0034-spans-of-streams.md). */
export const tracedStreamProtocol = 9;
/** The oldest protocol that this version still speaks. */
export const oldestStreamProtocol = 1;

/** Numbers of the client's frames. Append only; never reuse. */
export const clientFrameNumbers = {
  hello: 1,
  commands: 2,
  "keep-alive": 3,
  ping: 4,
  "shard-commands": 5,
  "resolve-queue": 6,
  "watch-queue": 7,
  "await-queue": 8,
  "to-homes": 9,
  "resolve-namespace": 10,
  "invalidate-cache": 11,
  "load-cached": 12,
  "consumer-begun": 13,
  traced: 14,
} as const;
/** Numbers of the node's frames. Append only; never reuse. */
export const serverFrameNumbers = {
  welcome: 65,
  results: 66,
  "keep-alive-answer": 67,
  refused: 68,
  "leader-changed": 69,
  "session-event": 70,
  closing: 71,
  pong: 72,
  "shard-results": 73,
  "shard-refused": 74,
  "queue-resolved": 75,
  "queue-ready": 76,
  "to-holders": 77,
  "namespace-resolved": 78,
  "cache-invalidated": 79,
  "cache-loaded": 80,
} as const;

export interface Hello {
  readonly type: "hello";
  /** Newest protocol the client speaks. */
  readonly protocol: number;
  /** Random id of this client instance, for people and logs; command frames name the caller they belong to themselves. */
  readonly caller: string;
  /** Free text shown to people: host name, process id. */
  readonly label: string;
  /** A session the client goes on using after a reconnect; 0 = none. */
  readonly session: number;
}
export interface Commands {
  readonly type: "commands";
  /** A command frame, as it will travel to apply. */
  readonly frame: Uint8Array;
}
/** Extends sessions (rule L1). `batch` comes back in the answer. */
export interface KeepAlive {
  readonly type: "keep-alive";
  readonly batch: number;
  readonly sessions: readonly number[];
}
export interface Ping {
  readonly type: "ping";
  readonly nonce: number;
}
/** Protocol 3: the same for a shard. Its commands are those of queue-commands.ts. */
export interface ShardCommands {
  readonly type: "shard-commands";
  readonly group: number;
  readonly frame: Uint8Array;
}
/** Protocol 3: what queue has this name? `create` makes it, with the defaults, when there is none. `request` comes back in the answer. */
export interface ResolveQueue {
  readonly type: "resolve-queue";
  readonly request: number;
  readonly name: string;
  readonly create: boolean;
}
/** Protocol 3: as `resolve-queue` without `create`, but "there is none" is answered only when there was none for `waitMs`. */
export interface AwaitQueue {
  readonly type: "await-queue";
  readonly request: number;
  readonly name: string;
  readonly waitMs: number;
}
/**
 * Protocol 3: from now on tell when `group` may have something. When the stream ends while it is `on`, what `consumer` holds is handed out again at
 * once (rule Q3).
 */
export interface WatchQueue {
  readonly type: "watch-queue";
  readonly queue: number;
  readonly group: string;
  readonly consumer: string;
  readonly on: boolean;
}
/** Protocol 7: what a consumer that is watched has begun at most, until it says otherwise. If it is lost, only that counts as failed. */
export interface ConsumerBegun {
  readonly type: "consumer-begun";
  readonly queue: number;
  readonly group: string;
  readonly consumer: string;
  readonly begun: Begun;
}
/** A frame that says something for itself. */
export type PlainClientFrame =
  | Hello
  | Commands
  | KeepAlive
  | Ping
  | ShardCommands
  | ResolveQueue
  | AwaitQueue
  | WatchQueue
  | ConsumerBegun
  | ToHomes
  | ResolveNamespace
  | InvalidateCache
  | LoadCached;
/** Protocol 9: the frame, and the traces of those who asked for what is in it; it continues the first. Any frame but `hello`. */
export interface Traced {
  readonly type: "traced";
  readonly traces: readonly TraceContext[];
  readonly frame: PlainClientFrame;
}
export type ClientFrame = PlainClientFrame | Traced;

export interface Welcome {
  readonly type: "welcome";
  /** The protocol that both will use. */
  readonly protocol: number;
  readonly cluster: string;
  readonly node: string;
  /** Empty = the node knows of no leader. */
  readonly leader: string;
  readonly leaderUrl: string;
  readonly term: number;
  /** The node's estimate of group time now, Unix milliseconds: what `notAfter` of the client's frames counts from. */
  readonly groupTime: number;
  readonly callerWindow: number;
  readonly maxFrameBytes: number;
  readonly maxCommandsPerFrame: number;
  /** Protocol 3: what a new queue gets at this node where its maker says nothing; the rest is group 0's to say. None before. */
  readonly queueDefaults: Partial<QueueSettings>;
}
/** Answers for one caller. Each is final; a client ignores what it already knows. */
export interface Results {
  readonly type: "results";
  readonly caller: string;
  readonly results: readonly { readonly sequence: number; readonly result: Result }[];
}
/** A session in neither list was not extended, as there was no leader to ask; ask again. */
export interface KeepAliveAnswer {
  readonly type: "keep-alive-answer";
  readonly batch: number;
  readonly groupTime: number;
  readonly alive: readonly number[];
  readonly lost: readonly number[];
}
/** Why a node did not take a frame; its commands did not reach the log by this sending. Numbers are places; append only. */
export const frameRefusals = [
  "no_leader",
  "no_quorum",
  "overloaded",
  "stopping",
  "storage",
  "forbidden",
  "removed",
  "redis_unavailable",
  "feature_level",
] as const;
export type FrameRefusal = (typeof frameRefusals)[number];
/** A whole command frame was not taken: send it again, here after `retryAfterMs`, or elsewhere. */
export interface Refused {
  readonly type: "refused";
  readonly caller: string;
  readonly firstSequence: number;
  readonly count: number;
  readonly code: FrameRefusal;
  readonly retryAfterMs: number;
  readonly detail: string;
}
/** Empty `leader` = the node lost sight of the leader. */
export interface LeaderChanged {
  readonly type: "leader-changed";
  readonly leader: string;
  readonly leaderUrl: string;
  readonly term: number;
}
/** What may happen to a session without its client asking. Numbers are places; append only. */
export const sessionEvents = ["expired", "closed"] as const;
export interface SessionEvent {
  readonly type: "session-event";
  readonly session: number;
  readonly event: (typeof sessionEvents)[number];
}
/** Why a node closes the stream. Numbers are places; append only. */
export const closingCodes = ["protocol", "malformed", "stopping", "overloaded", "unauthorized", "idle"] as const;
export type ClosingCode = (typeof closingCodes)[number];
/** The node's last frame. */
export interface Closing {
  readonly type: "closing";
  readonly code: ClosingCode;
  readonly detail: string;
}
export interface Pong {
  readonly type: "pong";
  readonly nonce: number;
  readonly groupTime: number;
}
/** Protocol 3: answers of a shard for one caller, each as the shard's apply encoded it (see `decodeShardAnswer`). */
export interface ShardResults {
  readonly type: "shard-results";
  readonly group: number;
  readonly caller: string;
  readonly results: readonly { readonly sequence: number; readonly bytes: Uint8Array }[];
}
/** Protocol 3: `refused`, of a frame for a shard. */
export interface ShardRefused extends Omit<Refused, "type"> {
  readonly type: "shard-refused";
  readonly group: number;
}
export const queueBackends = ["embedded", "redis", "memory"] as const;
/** Why a name is no queue. `unavailable`: ask again. Numbers are places; append only. */
export const resolveRefusals = ["none", "unknown", "invalid", "too-many", "unavailable"] as const;
export type ResolveRefusal = (typeof resolveRefusals)[number];
/** Protocol 3. Without a refusal: what a client must know to give commands to the queue's shards (`shardNumberOf`). */
export interface QueueResolved {
  readonly type: "queue-resolved";
  readonly request: number;
  readonly queue: number;
  readonly version: number;
  readonly partitions: number;
  readonly shards: number;
  readonly backend: (typeof queueBackends)[number];
  readonly refusal: ResolveRefusal;
  readonly detail: string;
}
/** Protocol 3: a hint. `partition` -1 = any of them: nobody knows. */
export interface QueueReady {
  readonly type: "queue-ready";
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
}
export type ServerFrame =
  | Welcome
  | Results
  | KeepAliveAnswer
  | Refused
  | LeaderChanged
  | SessionEvent
  | Closing
  | Pong
  | ShardResults
  | ShardRefused
  | QueueResolved
  | QueueReady
  | ToHolders
  | NamespaceResolved
  | CacheInvalidated
  | CacheLoaded;
