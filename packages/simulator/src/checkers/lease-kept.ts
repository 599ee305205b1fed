import type { Violation } from "./history.ts";
import { type MessageAt, nameOf } from "./queue-history.ts";

/** A hand-out that its holder, by its own clock and by what it was answered, could rely on. Virtual times. */
export interface Relied extends MessageAt {
  readonly group: string;
  readonly acquired: number;
  readonly from: number;
  until: number;
}
/** The end of a hand-out that the log gives no other reason for than time. */
export interface RanOut extends MessageAt {
  readonly group: string;
  readonly acquired: number;
  readonly at: number;
}

/** Rule L1: nothing runs out while its holder may still rely on it. */
export function checkLeasesKept(relied: readonly Relied[], ranOut: readonly RanOut[]): Violation | null {
  const ends = new Map(ranOut.map((end) => [handOut(end), end.at]));
  for (const hold of relied) {
    const at = ends.get(handOut(hold));
    if (at === undefined || at <= hold.from || at >= hold.until) continue;
    return {
      invariant: "queue-lease-kept",
      detail: `${handOut(hold)} ran out at ${at}; its holder could rely on it from ${hold.from} until ${hold.until}`,
    };
  }
  return null;
}

const handOut = (of: MessageAt & { readonly group: string; readonly acquired: number }): string =>
  `${nameOf(of)} of ${of.group}, hand-out ${of.acquired}`;
