import type { Violation } from "./history.ts";
import { type MessageAt, nameOf } from "./queue-history.ts";

/** What happens to hand-outs, in the order of one shard's log. */
export interface ReceiptEvent extends MessageAt {
  readonly type: "given" | "settled" | "ended";
  readonly group: string;
  readonly acquired: number;
  readonly order: number;
  /** Of `settled`: the hand-out goes on. */
  readonly extends: boolean;
}

/** Fenced receipts: only the hand-out that holds a message settles it, once; and no two hand-outs of a message have one number. */
export function checkReceipts(events: readonly ReceiptEvent[]): Violation | null {
  const held = new Map<string, number>();
  const highest = new Map<string, number>();
  for (const event of events) {
    const name = `${nameOf(event)} of ${event.group}`;
    const holder = held.get(name);
    if (event.type === "given") {
      const before = highest.get(name) ?? 0;
      if (holder !== undefined)
        return found("queue-two-holders", `${name} was handed out (${event.acquired}) at ${event.order} while ${holder} held it`);
      if (event.acquired <= before)
        return found("queue-receipt-unique", `${name} was handed out as ${event.acquired} at ${event.order}, after ${before}`);
      highest.set(name, event.acquired);
      held.set(name, event.acquired);
    } else if (event.type === "settled" && holder !== event.acquired) {
      return found(
        "queue-receipt-fenced",
        `${name} was settled with receipt ${event.acquired} at ${event.order}; ${holder ?? "nobody"} held it`,
      );
    } else if (event.type === "ended" || !event.extends) held.delete(name);
  }
  return null;
}

const found = (invariant: string, detail: string): Violation => ({ invariant, detail });
