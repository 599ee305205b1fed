import { type GroupId, groupId, type NamespaceView, type SystemState } from "@trivet/core";
import { cacheShardOf, featureLevels, type LineName } from "@trivet/wire";
import type { NodeApi } from "../node/node-api.ts";
import type { NodeCache } from "../node/node-cache.ts";
import type { NodeHost } from "../node/node-host.ts";
import type { CacheCallOptions, CacheFailure } from "./cache-api.ts";
import { notLed, notMember } from "./cache-writes.ts";
import type { HolderHost } from "./holder-host.ts";
import { retryMs } from "./limits.ts";
import { lineOfKey } from "./lines.ts";
import { NamespaceNames } from "./namespace-names.ts";

export interface CacheServiceParts {
  readonly host: NodeHost;
  readonly cache: NodeCache;
  readonly api: NodeApi;
  /** Group 0 as this node has applied it; null before it is open. */
  readonly state: () => SystemState | null;
}

export type Done<T> = (outcome: T | CacheFailure) => void;
export type Call = { readonly deadline: number; readonly idempotency?: CacheCallOptions["idempotency"] };

/** A key, and where it lives. */
export interface Place {
  readonly namespace: NamespaceView;
  readonly key: string;
  readonly line: LineName;
  readonly group: GroupId;
  readonly holder: HolderHost;
}

/** What all calls of the cache begin with: a deadline, a namespace by its name, a shard that somebody leads. */
export class CacheCalls {
  readonly host: NodeHost;
  readonly cache: NodeCache;
  readonly names: NamespaceNames;

  constructor({ api, cache, host, state }: CacheServiceParts) {
    this.host = host;
    this.cache = cache;
    this.names = new NamespaceNames(state, api);
  }

  find<T>(name: string, call: Call, done: Done<T>, run: (namespace: NamespaceView) => void): void {
    const tooNew = this.host.features.refusal(featureLevels.cache);
    if (tooNew !== null) return done(tooNew);
    this.names.with(name, this.left(call), done, run);
  }

  /** Once somebody leads the key's shard, as far as is known here; a call waits for that no longer than for a leader of group 0. */
  place<T>(namespace: NamespaceView, key: string, call: Call, done: Done<T>, run: (place: Place) => void): void {
    const { clock } = this.host.ports;
    const until = Math.min(call.deadline, clock.now() + this.host.config.noLeaderWaitMs);
    const look = (): void => {
      const refused = this.host.refusesWork(false);
      if (refused !== null) return done(refused);
      const shards = this.host.shards?.count ?? 0;
      const group = groupId(shards === 0 ? 1 : cacheShardOf(namespace.namespace, key, shards));
      const holder = shards === 0 ? null : this.cache.holder(group);
      if (holder !== null && this.cache.isLed(group)) {
        return run({ namespace, key, line: lineOfKey(namespace.namespace, key), group, holder });
      }
      if (clock.now() + retryMs > until) return done(shards === 0 ? notMember : notLed);
      clock.schedule(retryMs, look);
    };
    look();
  }

  call({ idempotency, timeoutMs }: CacheCallOptions): Call {
    return { deadline: this.host.ports.clock.now() + timeoutMs, ...(idempotency === undefined ? {} : { idempotency }) };
  }

  left({ deadline }: Call): number {
    return Math.max(1, deadline - this.host.ports.clock.now());
  }

  refuse(detail: string, done: (failure: CacheFailure) => void): void {
    this.later(() => done({ type: "malformed", detail }));
  }

  later(run: () => void): void {
    this.host.ports.clock.defer(run);
  }
}
