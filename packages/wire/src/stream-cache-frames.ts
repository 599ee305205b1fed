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
/** From the homes of shards. */
export interface ToHolders {
  readonly type: "to-holders";
  readonly messages: readonly { readonly group: number; readonly message: HomeMessage }[];
}
/** Why a namespace or its invalidation was refused. Numbers are places; append only. */
export const namespaceRefusals = ["none", "unknown", "invalid", "unavailable", "outcome-unknown"] as const;
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
