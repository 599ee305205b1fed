/**
 * Commands of the shards about cached values and about who holds copies of them (rules M1–M10). They travel in the same frames as those of
 * queues and are decided by the shard's apply alone. A namespace is known to a shard by the number that group 0 gave it.
 */

export const cacheModes = ["write-through", "strict", "ttl"] as const;
/** `write-through`: copies under leases, never stale. `strict`: no copies. `ttl`: copies that are stale for at most `staleMs`. */
export type CacheMode = (typeof cacheModes)[number];

/** What a shard knows of a namespace (rule G1). */
export interface NamespaceDefinition {
  readonly name: string;
  /** Rises with each change; an older one than known is ignored. */
  readonly version: number;
  /** Fixed at creation: copies kept under another promise would outlive a change. */
  readonly mode: CacheMode;
  /** Mode `ttl`: how stale a copy may be. */
  readonly staleMs: number;
  /** Time to live of values without one of their own, and of negative entries; 0 = for ever. */
  readonly ttlMs: number;
  readonly negativeTtlMs: number;
  /** Values and their bytes in each shard; 0 = no limit of its own. Beyond it writes are refused, nothing is dropped (rule M9). */
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** `behind`: what is written here is queued for the origin, in the entry that writes it. */
  readonly write: OriginWrite;
  /** With `behind`: keys of each shard that may wait for the origin; beyond it writes are refused. 0 = the shard's own bound. */
  readonly maxBehind: number;
  /** With an origin: a value whose time is over is still read for so long, while it is loaded again; 0 = not at all. */
  readonly revalidateMs: number;
}

export const originWrites = ["here", "behind"] as const;
/** Where writes of a namespace with an origin go: nowhere else, or into its origin as well, afterwards (decision 0020). Append only. */
export type OriginWrite = (typeof originWrites)[number];

export const originNames = ["none", "redis", "postgres"] as const;
/** Where a value comes from that nobody has stored: an outside system that the nodes read. Append only. */
export type OriginName = (typeof originNames)[number];

export const packings = ["brotli"] as const;
/** How the bytes of a value are compressed (decision 0024). Append only. */
export type Packing = (typeof packings)[number];

/** Values up to this length are never compressed: whole numbers, which are counted with, are shorter. */
export const neverPackedBytes = 64;

export const policyNames = ["wtinylfu", "lru", "lfu", "s3fifo", "sieve", "arc"] as const;
/** Which copies a node keeps when it cannot keep all (core/eviction). */
export type PolicyName = (typeof policyNames)[number];

/** What the owner of a namespace may say. The last five are for the nodes and programs, not for the shards. */
export interface NamespaceSettings extends Omit<NamespaceDefinition, "name" | "version"> {
  /** Copies that a node keeps of this namespace alone, by `policy`; 0 = among those of all others, within the node's own bounds. */
  readonly copyEntries: number;
  /** The same in bytes; 0 with `copyEntries` = not bounded. */
  readonly copyBytes: number;
  readonly policy: PolicyName;
  readonly origin: OriginName;
  /** Values of more bytes are stored compressed, where that makes them smaller; 0 = none is. Who writes one does it. */
  readonly compressOver: number;
}

/** What a write wants of the value that is there. */
export type WriteCondition =
  | { readonly type: "always" }
  | { readonly type: "absent" }
  | { readonly type: "present" }
  /** Compare-and-set. */
  | { readonly type: "version"; readonly version: number };

/** What a loader saw before it went to its source: its put applies iff nothing has changed since (rule M8). */
export interface LoadToken {
  /** 0 = there was nothing. */
  readonly version: number;
  /** Version counter of the shard at that time. */
  readonly asOf: number;
}

interface OfKey {
  readonly namespace: number;
  readonly key: string;
}
interface KeyWrite extends OfKey {
  /** Version of the definition the sender knows (rule G1). */
  readonly version: number;
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
}

/** Proposed by the shard's leader when group 0's definition is newer. */
export interface ConfigureNamespace {
  readonly type: "configure-namespace";
  readonly namespace: number;
  readonly definition: NamespaceDefinition;
}
export interface DropNamespace {
  readonly type: "drop-namespace";
  readonly namespace: number;
  readonly version: number;
}
export interface CachePut extends KeyWrite {
  readonly type: "cache-put";
  /** Null = a negative entry: known not to exist in the source. */
  readonly value: Uint8Array | null;
  /** How `value` is compressed; left out = it is not. */
  readonly packing?: Packing;
  readonly tags: readonly string[];
  /** 0 = the namespace's. */
  readonly ttlMs: number;
  readonly condition: WriteCondition;
  /** Null = not of a loader. */
  readonly token: LoadToken | null;
}
export interface CacheDelete extends KeyWrite {
  readonly type: "cache-delete";
  readonly condition: WriteCondition;
}
/** The value is a whole number written in decimal; one that is absent counts as 0. */
export interface CacheIncrement extends KeyWrite {
  readonly type: "cache-increment";
  readonly by: number;
  /** Of a value that comes into being; one that is there keeps its own. 0 = the namespace's. */
  readonly ttlMs: number;
}
/** All values with the tag, or of the namespace (""), are gone as of now; what they took is cleared in bounded steps (rule M8). */
export interface CacheInvalidate {
  readonly type: "cache-invalidate";
  readonly namespace: number;
  readonly tag: string;
}
/** Values whose time is over, as the shard's leader found them; it has withdrawn their copies before. */
export interface CacheExpire {
  readonly type: "cache-expire";
  readonly values: readonly ExpiredValue[];
}
export interface ExpiredValue extends OfKey {
  readonly version: number;
}
/** Versions that the origins have by now, or newer ones; proposed by the shard's leader (decision 0020). */
export interface CacheFlushed {
  readonly type: "cache-flushed";
  readonly values: readonly ExpiredValue[];
}
/** Rule M1: before a holder's first lease. */
export interface RegisterHolder {
  readonly type: "register-holder";
  readonly holder: string;
  readonly incarnation: number;
}
/** Proposed by the home for a holder without a lease. */
export interface ForgetHolder {
  readonly type: "forget-holder";
  readonly holder: string;
  readonly incarnation: number;
}
/** Rule M4: nobody has a lease of this or any earlier term; or that is over. */
export interface LeaseBarrier {
  readonly type: "lease-barrier";
  readonly term: number;
}
export interface LeaseResume {
  readonly type: "lease-resume";
  readonly term: number;
}

export type CacheCommand =
  | ConfigureNamespace
  | DropNamespace
  | CachePut
  | CacheDelete
  | CacheIncrement
  | CacheInvalidate
  | CacheExpire
  | CacheFlushed
  | RegisterHolder
  | ForgetHolder
  | LeaseBarrier
  | LeaseResume;
export type CacheCommandType = CacheCommand["type"];

/** In one sequence with the other commands of shards. Append only; never reuse. */
export const cacheCommandNumbers: Readonly<Record<CacheCommandType, number>> = {
  "configure-namespace": 96,
  "drop-namespace": 97,
  "cache-put": 98,
  "cache-delete": 99,
  "cache-increment": 100,
  "cache-invalidate": 101,
  "cache-expire": 102,
  "register-holder": 103,
  "forget-holder": 104,
  "lease-barrier": 105,
  "lease-resume": 106,
  "cache-flushed": 107,
};

/** A `cache-put` whose value is compressed: a number of its own, so that it has a feature level of its own (decision 0024). */
export const packedPutNumber = 108;

export function isCacheCommand(command: { readonly type: string }): command is CacheCommand {
  return Object.hasOwn(cacheCommandNumbers, command.type);
}
