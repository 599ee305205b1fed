import type { Violation } from "./history.ts";
import { type Delivery, type MessageAt, nameOf } from "./queue-history.ts";

/** An acknowledgement that was answered `settled`. */
export interface Acknowledged extends MessageAt {
  readonly group: string;
  readonly ret: number;
}

/** After an acknowledgement was answered, no hand-out of the message to that group begins. */
export function checkAckFinality(
  acks: readonly Acknowledged[],
  deliveries: readonly Pick<Delivery, "queue" | "partition" | "sequence" | "group" | "acquired" | "at">[],
): Violation | null {
  const first = new Map<string, number>();
  for (const ack of acks) {
    const name = `${nameOf(ack)} of ${ack.group}`;
    first.set(name, Math.min(first.get(name) ?? Infinity, ack.ret));
  }
  for (const delivery of deliveries) {
    const name = `${nameOf(delivery)} of ${delivery.group}`;
    const ret = first.get(name);
    if (ret !== undefined && delivery.at > ret) {
      return {
        invariant: "queue-ack-final",
        detail: `${name} was acknowledged at ${ret} and handed out once more (${delivery.acquired}) at ${delivery.at}`,
      };
    }
  }
  return null;
}
