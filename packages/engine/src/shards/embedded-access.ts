import { groupId } from "@trivet/core";
import type { Begun } from "@trivet/wire";
import type { CallerRoute, Unavailable } from "../node/node-api.ts";
import { proposeConsumerGone } from "./consumer-gone.ts";
import type { EmbeddedStorage } from "./embedded-storage.ts";
import type { ShardAccess } from "./shard-access.ts";
import type { ShardEntry } from "./shard-entry.ts";
import type { ShardHosts } from "./shard-hosts.ts";

const notYet: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "this node is not a member of a cluster yet",
};

/** The shards of this cluster, from any of its nodes. */
export class EmbeddedAccess implements ShardAccess {
  private readonly storage: EmbeddedStorage;
  private readonly hosts: () => ShardHosts | null;

  constructor(storage: EmbeddedStorage, hosts: () => ShardHosts | null) {
    this.storage = storage;
    this.hosts = hosts;
  }

  spread(): { readonly backend: "embedded"; readonly shards: number } | null {
    const hosts = this.hosts();
    return hosts === null ? null : { backend: "embedded", shards: hosts.count };
  }

  route(group: number, caller: string, route: CallerRoute<Uint8Array>): void {
    this.entry(group)?.setRoute(caller, route);
  }

  endRoute(group: number, caller: string, route: CallerRoute<Uint8Array>): void {
    this.entry(group)?.endRoute(caller, route);
  }

  submitFrame(group: number, frame: Uint8Array): Unavailable | null {
    const entry = this.entry(group);
    if (entry === null) return notYet;
    const refused = entry.submitFrame(frame);
    this.hosts()?.host.markDirty();
    return refused;
  }

  watchReady(listener: Parameters<ShardAccess["watchReady"]>[0]): () => void {
    return this.storage.watchReady(listener);
  }

  consumerGone(queue: number, partitions: number, consumer: string, begun: Begun | null): void {
    const hosts = this.hosts();
    if (hosts !== null) proposeConsumerGone(this.storage, hosts.count, partitions, { type: "consumer-gone", queue, consumer, begun });
  }

  private entry(group: number): ShardEntry | null {
    return this.hosts()?.entry(groupId(group)) ?? null;
  }
}
