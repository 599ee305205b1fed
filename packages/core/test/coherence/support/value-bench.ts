import {
  type CacheCommand,
  type CacheDelete,
  type CacheIncrement,
  type CachePut,
  decodeUtf8,
  encodeUtf8,
  type NamespaceDefinition,
  type ShardCommand,
} from "@trivet/wire";
import type { CachedRecord } from "../../../src/coherence/messages.ts";
import { checkValues } from "../../../src/invariants/values.ts";
import type { ShardAnswer } from "../../../src/queues/answer.ts";
import { defaultShardLimits, type ShardLimits } from "../../../src/queues/limits.ts";
import { type CommandOrigin, QueueShard } from "../../../src/queues/shard.ts";
import { MemoryView } from "../../queues/support/memory-view.ts";

export const namespace = 3;
export const namespaceDefinition: NamespaceDefinition = {
  name: "users",
  version: 1,
  mode: "write-through",
  staleMs: 0,
  ttlMs: 0,
  negativeTtlMs: 0,
  maxEntries: 0,
  maxBytes: 0,
  write: "here",
  maxBehind: 0,
  revalidateMs: 0,
};

/** A shard over memory with one namespace. */
export class ValueBench {
  readonly view: MemoryView = new MemoryView();
  now = 1000;
  shard: QueueShard;
  private version = 0;

  constructor(fields: Partial<NamespaceDefinition> = {}, limits: Partial<ShardLimits> = {}) {
    const sinks = { leased: (): void => {}, ended: (): void => {} };
    this.shard = new QueueShard(this.view, sinks, { ready: (): void => {} }, { ...defaultShardLimits, ...limits });
    this.configure(fields);
  }

  configure(fields: Partial<NamespaceDefinition> = {}): ShardAnswer {
    const definition = { ...namespaceDefinition, ...fields, version: fields.version ?? ++this.version };
    return this.lead({ type: "configure-namespace", namespace, definition });
  }

  do(command: ShardCommand, origin: CommandOrigin = "caller"): ShardAnswer {
    this.shard.beginEntry(this.now);
    return this.shard.execute(command, origin);
  }

  lead(command: CacheCommand): ShardAnswer {
    return this.do(command, "leader");
  }

  put(key: string, value: string | null, fields: Partial<CachePut> = {}): ShardAnswer {
    const bytes = value === null ? null : encodeUtf8(value);
    return this.do({
      type: "cache-put",
      ...ofKey(key),
      value: bytes,
      tags: [],
      ttlMs: 0,
      condition: { type: "always" },
      token: null,
      ...fields,
    });
  }

  remove(key: string, fields: Partial<CacheDelete> = {}): ShardAnswer {
    return this.do({ type: "cache-delete", ...ofKey(key), condition: { type: "always" }, ...fields });
  }

  increment(key: string, by: number, fields: Partial<CacheIncrement> = {}): ShardAnswer {
    return this.do({ type: "cache-increment", ...ofKey(key), by, ttlMs: 0, ...fields });
  }

  invalidate(tag = ""): ShardAnswer {
    return this.do({ type: "cache-invalidate", namespace, tag });
  }

  /** Ends what is due, as the leader does. */
  expire(): ShardAnswer {
    return this.lead({ type: "cache-expire", values: this.shard.dueValues(this.now, 100) });
  }

  record(key: string): CachedRecord {
    return this.shard.value(namespace, key, this.now).record;
  }

  /** Undefined = nothing is known, null = known not to be there. */
  get(key: string): string | null | undefined {
    const { value, version } = this.record(key);
    if (version === 0) return undefined;
    return value === null ? null : decodeUtf8(value);
  }

  /** Entries without commands, for what is cleared in steps. */
  pass(entries: number): void {
    for (let left = entries; left > 0; left--) this.shard.beginEntry(this.now);
  }

  /** Throws where the store contradicts itself. */
  check(): void {
    checkValues(this.view);
  }
}

function ofKey(key: string): { readonly namespace: number; readonly key: string; readonly version: number; readonly ifFence: null } {
  return { namespace, key, version: 1, ifFence: null };
}

/** Under the lock `l` (rule K5). */
export function ifFence(fence: number): { readonly ifFence: { readonly lock: string; readonly fence: number } } {
  return { ifFence: { lock: "l", fence } };
}
