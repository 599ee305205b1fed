import type { CacheMode } from "./cache-commands.ts";
import type { HolderMessage, HomeMessage } from "./coherence-messages.ts";

/** Frames of protocol 4: a program holds copies of cached values as a node does (rules M1–M7). */

/** To the homes of shards, through this node. Any message may be lost on the way, as between nodes. */
export interface ToHomes {
  readonly type: "to-homes";
  /** The holder: random, of this connection of this process alone, and told to nobody. What is for it comes on the stream that named it last. */
  readonly program: string;
  readonly messages: readonly { readonly group: number; readonly message: HolderMessage }[];
}
/** What namespace has this name? `request` comes back in the answer. */
export interface ResolveNamespace {
  readonly type: "resolve-namespace";
  readonly request: number;
  readonly name: string;
}
/** Everything with the tag ("" = everything of the namespace) goes, in every shard (rule M8). */
export interface InvalidateCache {
  readonly type: "invalidate-cache";
  readonly request: number;
  readonly name: string;
  readonly tag: string;
  readonly timeoutMs: number;
}
export const loadingWays = ["absent", "behind", "wait", "claim", "release"] as const;
/**
 * Numbers are places; append only. `absent`: unless something is stored. `behind`: also then, without anybody who waits. `wait`: also then. Of protocol 7:
 * `claim`: the program has a loader of its own, and is told `yours` when it is its turn to run it, or else to read again. `release`: the loader of the claim
 * with this number has ended; nothing is answered.
 */
export type LoadingWay = (typeof loadingWays)[number];
/** Of protocol 5: has the node load a value from its namespace's origin into the store. */
export interface LoadCached {
  readonly type: "load-cached";
  readonly request: number;
  readonly name: string;
  readonly key: string;
  readonly how: LoadingWay;
  readonly timeoutMs: number;
}
/** From the homes of shards. */
export interface ToHolders {
  readonly type: "to-holders";
  readonly messages: readonly { readonly group: number; readonly message: HomeMessage }[];
}
/** Why a namespace or its invalidation was refused. Numbers are places; append only. */
export const namespaceRefusals = [
  "none",
  "unknown",
  "invalid",
  "unavailable",
  "outcome-unknown",
  "origin-unavailable",
  "full",
  /** Of protocol 7, to a claim alone: no refusal. */
  "yours",
] as const;
export type NamespaceRefusal = (typeof namespaceRefusals)[number];
/** Also sent unasked, with request 0, when a name that this stream has asked for means something else. `unavailable`: ask again. */
export interface NamespaceResolved {
  readonly type: "namespace-resolved";
  readonly request: number;
  readonly name: string;
  readonly namespace: number;
  readonly version: number;
  readonly mode: CacheMode;
  readonly staleMs: number;
  /** The namespace's setting; 0 to programs that do not know of it. */
  readonly compressOver: number;
  /** Values that nobody has stored may come from an outside origin; false to programs that cannot ask for them. */
  readonly hasOrigin: boolean;
  /** Of protocol 7: the namespace's setting; 0 to older programs. */
  readonly revalidateMs: number;
  readonly shards: number;
  readonly refusal: NamespaceRefusal;
  readonly detail: string;
}
export interface CacheInvalidated {
  readonly type: "cache-invalidated";
  readonly request: number;
  readonly shards: number;
  readonly refusal: NamespaceRefusal;
  readonly detail: string;
}
/** What is to be known of the key is in the store, or that there is nothing. */
export interface CacheLoaded {
  readonly type: "cache-loaded";
  readonly request: number;
  readonly refusal: NamespaceRefusal;
  readonly detail: string;
}
