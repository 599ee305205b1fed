import { mutant } from "#mutation";
import type { NamespaceDefinition, QueueDefinition } from "@trivet/wire";
import type { ShardDefinitions } from "../queues/definitions.ts";
import { defaultNamespaceSettings } from "./limits.ts";
import type { SystemState } from "./system-state.ts";

/** A definition that a shard was told of, under its number; null = it was told that it is deleted. */
type Told<T> = readonly [number: number, definition: T | null];

/**
 * Group 0 of a cluster that was recovered may be behind its shards (rule G1): it does not know of queues that have messages there. Its new counters say
 * that all numbers below them were given, so shards would drop what it does not know. What shards know better is taken over here, and told for
 * people; without effect where group 0 was saved last.
 *
 * @param former Group 0 as it was found: what it knows not, and has numbers above, it has deleted itself.
 */
export function adoptDefinitions(state: SystemState, former: SystemState, shards: readonly ShardDefinitions[]): readonly string[] {
  const queues = newest(shards.map(({ queues: told }) => told));
  const namespaces = newest(shards.map(({ namespaces: told }) => told));
  return [
    ...queues.flatMap((told) => adoptQueue(state, former, told)),
    ...namespaces.flatMap((told) => adoptNamespace(state, former, told)),
  ];
}

/** By number, so that of two of one name the later one comes last; a deletion is final. */
function newest<T extends { readonly version: number }>(shards: readonly ReadonlyMap<number, T | null>[]): Told<T>[] {
  const best = new Map<number, T | null>();
  for (const told of shards) {
    for (const [number, definition] of told) {
      const known = best.get(number);
      const isNews = known === undefined || (known !== null && (definition === null || definition.version > known.version));
      if (isNews) best.set(number, definition);
    }
  }
  return [...best].sort(([a], [b]) => a - b);
}

function adoptQueue(state: SystemState, former: SystemState, [queue, definition]: Told<QueueDefinition>): string[] {
  const { queueRegistry } = state;
  const known = former.queueByNumber(queue);
  if (definition === null) {
    if (known === null || mutant("system-adopt-deleted-kept")) return [];
    queueRegistry.delete(known.definition.name);
    return [`queue ${known.definition.name} is deleted: a shard knows that already`];
  }
  const { name } = definition;
  const isNews =
    known === null ? queue > former.lastQueue() || mutant("system-adopt-what-was-deleted") : definition.version > known.definition.version;
  if (!isNews || mutant("system-adopt-no-queues")) return [];
  // There is one of a name at a time: the earlier one must have been deleted before this one was made.
  const namesake = state.queue(name);
  if (namesake !== null && namesake.queue !== queue) queueRegistry.delete(name);
  queueRegistry.insert({
    queue,
    definition: { ...definition, version: ++queueRegistry.lastVersion },
    createdAt: known?.createdAt ?? former.groupTime,
  });
  return [
    known === null ? `queue ${name} is kept: only shards know it` : `queue ${name} has the settings that a shard knows: they are newer`,
  ];
}

function adoptNamespace(state: SystemState, former: SystemState, [namespace, definition]: Told<NamespaceDefinition>): string[] {
  const { namespaceRegistry } = state;
  const known = former.namespaceByNumber(namespace);
  if (definition === null) {
    if (known === null) return [];
    namespaceRegistry.delete(known.name);
    return [`namespace ${known.name} is deleted: a shard knows that already`];
  }
  const { name, version: _, ...told } = definition;
  const isNews = known === null ? namespace > former.lastNamespace() : definition.version > known.version;
  if (!isNews || mutant("system-adopt-no-namespaces")) return [];
  const namesake = state.namespace(name);
  if (namesake !== null && namesake.namespace !== namespace) namespaceRegistry.delete(name);
  // Shards are not told of origins, nor how nodes keep copies. What needs an origin is off without one.
  const { origin, ...kept } = known?.settings ?? defaultNamespaceSettings;
  const settings = { ...kept, ...told, origin, ...(origin === "none" && ({ write: "here", revalidateMs: 0 } as const)) };
  const view = { namespace, name, version: ++namespaceRegistry.lastVersion, settings, createdAt: known?.createdAt ?? former.groupTime };
  namespaceRegistry.insert(view);
  const lacks = origin === "none" ? "; its origin, if it had one, has to be set again" : "";
  return [
    known === null
      ? `namespace ${name} is kept: only shards know it${lacks}`
      : `namespace ${name} has the settings that a shard knows: they are newer${lacks}`,
  ];
}
