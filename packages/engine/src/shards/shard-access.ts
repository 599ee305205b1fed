import type { Begun } from "@trivet/wire";
import type { CallerRoute, Unavailable } from "../node/node-api.ts";

/**
 * What a stream needs of the shards: frames of commands go in, answers come out as apply encoded them. Where the storage is not this cluster's, a
 * stand-in keeps to the same terms (storage-access.ts), so that a client need not care.
 */
export interface ShardAccess {
  /** How the partitions of queues are spread over groups (`shardNumberOf`); null = this node has no storage, or is no member yet. */
  spread(): { readonly backend: "embedded" | "redis" | "memory"; readonly shards: number } | null;
  /** Registers who gets the answers of `caller` in `group` on this node; replaces an older route. */
  route(group: number, caller: string, route: CallerRoute<Uint8Array>): void;
  /** Ends `route`, unless another one has replaced it meanwhile (a caller that reconnected). */
  endRoute(group: number, caller: string, route: CallerRoute<Uint8Array>): void;
  /** Submits an encoded command frame of a routed caller. Returns null when accepted, else why not. Throws CodecError. */
  submitFrame(group: number, frame: Uint8Array): Unavailable | null;
  /** See `QueueStorage.watchReady`. */
  watchReady(listener: (queue: number, partition: number, group: string) => void): () => void;
  /** What the consumer holds is handed out again (rule Q3); `begun` = what of it counts as failed, null = all. Should it fail, its leases run out. */
  consumerGone(queue: number, partitions: number, consumer: string, begun: Begun | null): void;
}
