import type { queueSchemas } from "@trivet/contract";
import type { BrowsedMessage, GroupStats, QueueView } from "@trivet/core";
import type { Delivered, Durability, PartitionStats, QueueDetails, QueueSettings, QueuesApi } from "@trivet/engine";
import { decimal } from "../outcomes.ts";
import { contentJson } from "./queue-content.ts";

type Json = Readonly<Record<string, unknown>>;

/** Fields of the API and of the definition. */
const names = {
  partitions: "partitions",
  visibility_ms: "visibilityMs",
  max_deliveries: "maxDeliveries",
  max_acquired: "maxAcquired",
  backoff_ms: "backoffMs",
  max_messages: "maxMessages",
  max_bytes: "maxBytes",
  ttl_ms: "ttlMs",
  dedup_window_ms: "dedupeWindowMs",
  max_leased: "maxLeased",
  rate_per_second: "ratePerSecond",
  paused: "paused",
} as const satisfies Readonly<Record<keyof Omit<queueSchemas.QueueSettingsBody, "request_id">, keyof QueueSettings>>;

/** The settings that a body names. */
export function settingsOf(body: queueSchemas.QueueSettingsBody): Partial<QueueSettings> {
  const given: Json = body;
  return Object.fromEntries(Object.entries(names).flatMap(([field, name]) => (given[field] === undefined ? [] : [[name, given[field]]])));
}

export function queueJson(queue: QueueView): Json {
  const { definition } = queue;
  return {
    name: definition.name,
    id: decimal(queue.queue),
    version: definition.version,
    created_at: queue.createdAt,
    settings: Object.fromEntries(Object.entries(names).map(([field, name]) => [field, definition[name]])),
  };
}

const groupJson = ({ group, ready, leased, settled, dead, expired, purged }: GroupStats): Json => ({
  group,
  ready,
  leased,
  settled,
  dead,
  expired,
  purged,
});
const sumOf = <T>(items: readonly T[], value: (item: T) => number): number => items.reduce((sum, item) => sum + value(item), 0);

const counted = ["ready", "leased", "settled", "dead", "expired", "purged"] as const;

/** A group's numbers over all partitions. */
function groupTotals(partitions: readonly PartitionStats[]): readonly GroupStats[] {
  const all = partitions.flatMap((partition) => partition.groups);
  return [...new Set(all.map((each) => each.group))].sort().map((group) => {
    const own = all.filter((each) => each.group === group);
    const sums = Object.fromEntries(counted.map((name) => [name, sumOf(own, (each) => each[name])]));
    return { group, ...sums } as unknown as GroupStats;
  });
}

/** When the oldest message of several partitions came; null = there is none. */
export function oldest(partitions: readonly { readonly oldestAt: number }[]): number | null {
  const times = partitions.map((each) => each.oldestAt).filter((at) => at > 0);
  return times.length === 0 ? null : Math.min(...times);
}

const countsJson = (partitions: readonly PartitionStats[]): Json => ({
  messages: sumOf(partitions, (each) => each.messages),
  bytes: sumOf(partitions, (each) => each.bytes),
  delayed: sumOf(partitions, (each) => each.delayed),
  dead: sumOf(partitions, (each) => each.dead),
  produced: sumOf(partitions, (each) => each.produced),
  returned: sumOf(partitions, (each) => each.returned),
  acked: sumOf(partitions, (each) => each.acked),
  died: sumOf(partitions, (each) => each.died),
  expired: sumOf(partitions, (each) => each.expired),
  purged: sumOf(partitions, (each) => each.purged),
  dropped: sumOf(partitions, (each) => each.dropped),
  oldest_at: oldest(partitions),
});

/** What the storage promises at least; a produce says what it reached. */
const promised = { embedded: "quorum", memory: "memory", redis: "primary" } as const satisfies Record<QueuesApi["backend"], Durability>;

export function detailsJson({ queue, partitions }: QueueDetails, backend: QueuesApi["backend"]): Json {
  return {
    ...queueJson(queue),
    backend,
    durability: promised[backend],
    totals: countsJson(partitions),
    groups: groupTotals(partitions).map(groupJson),
    partitions: partitions.map((partition) => ({
      partition: partition.partition,
      leader: partition.leader === "" ? null : partition.leader,
      ...countsJson([partition]),
      groups: partition.groups.map(groupJson),
    })),
  };
}

const keyJson = (key: string): string | null => (key === "" ? null : key);

export function deliveredJson(message: Delivered): Json {
  return {
    id: message.id,
    receipt: message.receipt,
    partition: message.partition,
    sequence: decimal(message.sequence),
    ...contentJson(message),
    key: keyJson(message.key),
    priority: message.priority,
    produced_at: message.producedAt,
    acquired: message.acquired,
    deliveries: message.deliveries,
  };
}

export function browsedJson(message: BrowsedMessage & { readonly id: string }): Json {
  const { dead } = message;
  return {
    id: message.id,
    partition: message.partition,
    sequence: decimal(message.sequence),
    state: message.state,
    ...contentJson(message),
    key: keyJson(message.key),
    priority: message.priority,
    produced_at: message.producedAt,
    due_at: message.dueAt === 0 ? null : message.dueAt,
    expires_at: message.expiresAt === 0 ? null : message.expiresAt,
    dead:
      dead === null
        ? null
        : { group: dead.group, reason: dead.reason, acquired: dead.acquired, deliveries: dead.deliveries, died_at: dead.diedAt },
  };
}
