import type { Violation } from "./history.ts";
import { groupBy } from "./history.ts";
import { type Delivery, nameOf, type Produced } from "./queue-history.ts";

/**
 * FIFO per key, as the log decides (rule Q1): within one consumer group, messages of a key are handed out for the first time in the order in which
 * their produce was accepted, and never two of them are in hand at a time.
 */
export function checkKeyOrder(produced: readonly Produced[], deliveries: readonly Delivery[]): Violation | null {
  const orders = new Map(produced.map((message) => [nameOf(message), message.order * maxBatch + message.sequence]));
  const keyed = deliveries.filter(({ key }) => key !== "");
  for (const [lane, group] of groupBy(keyed, ({ group, key, partition, queue }) => `${queue}/${partition} ${group} ${key}`)) {
    const found = checkFirsts(lane, group, orders) ?? checkAlone(lane, group);
    if (found !== null) return found;
  }
  return null;
}

/** More messages than one log entry accepts. */
const maxBatch = 2 ** 24;

function checkFirsts(lane: string, group: readonly Delivery[], orders: ReadonlyMap<string, number>): Violation | null {
  const seen = new Set<string>();
  let last: { readonly delivery: Delivery; readonly order: number } | null = null;
  for (const delivery of group) {
    const name = nameOf(delivery);
    const order = orders.get(name);
    // Redriven messages have no produce of their own.
    if (seen.has(name) || order === undefined) continue;
    seen.add(name);
    if (last !== null && order < last.order) {
      return {
        invariant: "queue-key-fifo",
        detail: `${lane}: ${name} was handed out at ${delivery.order}, after ${nameOf(last.delivery)} at ${last.delivery.order}, which was produced later`,
      };
    }
    last = { delivery, order };
  }
  return null;
}

function checkAlone(lane: string, group: readonly Delivery[]): Violation | null {
  let before: Delivery | null = null;
  for (const delivery of group) {
    if (before !== null && (before.endedAt === null || before.endedAt > delivery.order)) {
      return {
        invariant: "queue-key-alone",
        detail: `${lane}: ${nameOf(delivery)} was handed out at ${delivery.order} while ${nameOf(before)} of ${before.order} was in hand (until ${before.endedAt ?? "the end"})`,
      };
    }
    before = delivery;
  }
  return null;
}
