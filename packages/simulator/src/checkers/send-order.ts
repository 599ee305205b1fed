import { groupBy, type Violation } from "./history.ts";

/** One produce of a program that does not wait for answers, in the order of sending. */
export interface SentInOrder {
  readonly id: string;
  /** Program and partition. */
  readonly lane: string;
  /** Its first message's place in the partition; null = it is not there. */
  readonly sequence: number | null;
}

/** Rule X4: what one program sent to one partition is stored in the order in which it was sent, whatever was refused, lost or sent again meanwhile. */
export function checkSendOrder(sent: readonly SentInOrder[]): Violation | null {
  for (const [lane, group] of groupBy(sent, (one) => one.lane)) {
    let last: { readonly id: string; readonly sequence: number } | null = null;
    for (const { id, sequence } of group) {
      if (sequence === null) continue;
      if (last !== null && sequence < last.sequence) {
        const detail = `${lane}: ${id} was stored at ${sequence}, before ${last.id} at ${last.sequence}, which was sent earlier`;
        return { invariant: "queue-send-order", detail };
      }
      last = { id, sequence };
    }
  }
  return null;
}
