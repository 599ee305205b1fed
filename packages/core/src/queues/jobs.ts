import type { ShardContext } from "./context.ts";
import { keyOf, keysEnd, present, tables } from "./keys.ts";
import { type GroupRecord, encodeGroup } from "./records.ts";

/** What is left to be removed once it is out of reach; some of it with each entry. */
export type Clearing =
  | { readonly type: "queue"; readonly queue: number }
  | { readonly type: "group"; readonly queue: number; readonly partition: number; readonly group: GroupRecord; readonly end: number }
  | { readonly type: "fences" };

/** Kinds in the keys of jobs. Append only; never reuse. */
export const queueJob = 1;
export const groupJob = 2;
export const fencesJob = 3;
/** namespace, tag → what its invalidation left behind. */
export const tagJob = 4;
/** namespace → what its end left behind. */
export const namespaceJob = 5;

export function startJob(
  shard: ShardContext,
  kind: typeof tagJob | typeof namespaceJob,
  of: readonly (number | string)[],
  value: Uint8Array,
): void {
  shard.view.put(keyOf(tables.job, kind, ...of), value);
}

export function startClearing(shard: ShardContext, clearing: Clearing): void {
  switch (clearing.type) {
    case "queue":
      return shard.view.put(keyOf(tables.job, queueJob, clearing.queue), present);
    case "group": {
      const { queue, partition, group, end } = clearing;
      return shard.view.put(keyOf(tables.job, groupJob, queue, partition, group.id, end), encodeGroup(group));
    }
    case "fences":
      return shard.view.put(keyOf(tables.job, fencesJob), keyOf(tables.fence));
  }
}

export function hasJob(shard: ShardContext): boolean {
  let found = false;
  const prefix = keyOf(tables.job);
  shard.view.scan(prefix, keysEnd(prefix), () => {
    found = true;
    return false;
  });
  return found;
}
