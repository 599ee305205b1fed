import type { BrowsedMessage, QueueView } from "@trivet/core";
import type { Delivered, QueueDetails, QueueSettings } from "@trivet/engine";
import type { NewMessage } from "@trivet/wire";

interface Delivery {
  state: "ready" | "leased" | "settled";
  acquired: number;
  deliveries: number;
}
interface Stored {
  readonly partition: number;
  readonly sequence: number;
  readonly message: NewMessage;
  readonly deliveries: Map<string, Delivery>;
  dead: BrowsedMessage["dead"];
}
export interface Queue {
  view: QueueView;
  readonly groups: Map<string, { readonly from: number }>;
  messages: Stored[];
  produced: number;
  purged: number;
}

export const defaults: QueueSettings = {
  partitions: 1,
  visibilityMs: 30_000,
  maxDeliveries: 5,
  maxAcquired: 0,
  backoffMs: 0,
  maxMessages: 1_000_000,
  maxBytes: 0,
  ttlMs: 0,
  dedupeWindowMs: 300_000,
  maxLeased: 0,
  ratePerSecond: 0,
  paused: false,
};

export const idOf = (queue: Queue, sequence: number): string => `${queue.view.queue}-0-${sequence}`;

export function handedOut(queue: Queue, { partition, sequence, message }: Stored, delivery: Delivery, group: string): Delivered {
  const { key, priority, headers, body } = message;
  const { acquired, deliveries } = delivery;
  return {
    id: idOf(queue, sequence),
    receipt: [queue.view.definition.name, sequence, acquired, group].join("|"),
    partition,
    sequence,
    acquired,
    incarnation: 1,
    deliveries,
    key,
    priority,
    producedAt: 1,
    headers,
    body,
  };
}

export function browsed(
  queue: Queue,
  { partition, sequence, message, dead }: Stored,
  state: BrowsedMessage["state"],
): BrowsedMessage & { readonly id: string } {
  const { key, priority, headers, body, dueAt } = message;
  return { id: idOf(queue, sequence), partition, sequence, state, key, priority, headers, body, producedAt: 1, dueAt, expiresAt: 0, dead };
}

/** Numbers of a queue, its groups among them. */
export function detailsOf(queue: Queue): QueueDetails {
  const alive = queue.messages.filter((stored) => stored.dead === null);
  const groups = [...queue.groups.keys()].map((group) => {
    const states = alive.map((stored) => stored.deliveries.get(group)?.state ?? "ready");
    const count = (state: Delivery["state"]): number => states.filter((each) => each === state).length;
    return {
      group,
      ready: count("ready"),
      leased: count("leased"),
      settled: count("settled"),
      dead: queue.messages.filter((stored) => stored.dead?.group === group).length,
      expired: 0,
      purged: 0,
    };
  });
  const stats = {
    partition: 0,
    leader: "",
    messages: alive.length,
    bytes: alive.reduce((sum, stored) => sum + stored.message.body.length, 0),
    delayed: 0,
    dead: queue.messages.length - alive.length,
    produced: queue.produced,
    returned: 0,
    acked: 0,
    died: queue.messages.length - alive.length,
    expired: 0,
    purged: queue.purged,
    dropped: 0,
    oldestAt: alive.length === 0 ? 0 : 1,
    groups,
  };
  return { type: "details", queue: queue.view, partitions: [stats] };
}
