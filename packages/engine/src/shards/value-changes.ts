import type { QueueShard, ShardAnswer } from "@trivet/core";
import type { CachedRecord, ShardCommand } from "@trivet/wire";
import type { ReadValue, ValueChange } from "./worker-protocol.ts";

export type Decoded = ShardCommand | { readonly type: "malformed" };

/** What its home keeps, or hands on, after a command about one cached key. */
export function recordOf(shard: QueueShard, command: Decoded): CachedRecord | undefined {
  switch (command.type) {
    case "cache-put":
    case "cache-delete":
    case "cache-increment":
      return shard.value(command.namespace, command.key, shard.now).record;
    case "cache-expire": {
      const [value] = command.values;
      return value === undefined ? undefined : shard.value(value.namespace, value.key, shard.now).record;
    }
    default:
      return undefined;
  }
}

/** What a command has changed, for those who watch; nothing where it was refused, or was executed before. */
export function noteChange(shard: QueueShard, command: Decoded, answer: ShardAnswer, changes: ValueChange[]): void {
  switch (command.type) {
    case "cache-put":
    case "cache-increment": {
      if (answer.type !== "cache-written") return;
      const { key, namespace } = command;
      changes.push({ namespace, key, tag: null, change: "put", version: answer.version });
      return;
    }
    case "cache-delete": {
      if (answer.type !== "cache-deleted" || answer.version === 0) return;
      const { key, namespace } = command;
      changes.push({ namespace, key, tag: null, change: "delete", version: answer.version });
      return;
    }
    case "cache-expire": {
      const [value] = command.values;
      if (answer.type !== "counted" || answer.count === 0 || value === undefined) return;
      const { key, namespace } = value;
      changes.push({ namespace, key, tag: null, change: "expire", version: shard.value(namespace, key, shard.now).record.asOf });
      return;
    }
    case "cache-invalidate": {
      if (answer.type !== "cache-invalidated") return;
      const { namespace, tag } = command;
      changes.push({ namespace, key: null, tag: tag === "" ? null : tag, change: "invalidate", version: answer.version });
      return;
    }
    default:
  }
}

/** What a home is told of a key, with the write that waits for its origin where it asks for that. */
export function readOf(
  shard: QueueShard,
  [namespace, key]: readonly [namespace: number, key: string],
  { now, queued: wanted = false }: { readonly now: number; readonly queued?: boolean },
): ReadValue {
  const value = shard.value(namespace, key, now);
  const queued = wanted ? shard.queuedWrite(namespace, key) : undefined;
  return queued === undefined ? value : { ...value, queued };
}
