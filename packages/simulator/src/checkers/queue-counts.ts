import type { PartitionCounts } from "@trivet/core";

import type { Violation } from "./history.ts";

/** One partition as its stats say, and as the log of its shard adds up. */
export interface PartitionTally extends Omit<PartitionCounts, "partition" | "bytes" | "dead" | "oldestAt"> {
  readonly name: string;
  readonly logged: {
    readonly produced: number;
    /** By group: acknowledged, or settled at hand-out. */
    readonly settled: ReadonlyMap<string, number>;
    /** By group: in hand. */
    readonly leased: ReadonlyMap<string, number>;
    /** Every group was there before the first message, and no dead letter came back: then all are owed all. */
    readonly whole: boolean;
  };
}

/**
 * Conservation: produced = acknowledged + ready + leased + delayed + dead + expired + purged, for every group and as the log says; and every message
 * of the partition is there, or counted by how it left.
 */
export function checkConservation(tallies: readonly PartitionTally[]): Violation | null {
  for (const tally of tallies) {
    const { delayed, groups, logged, messages, name, produced } = tally;
    const wrong = (detail: string): Violation => ({ invariant: "queue-conservation", detail: `${name}: ${detail}` });
    const left = tally.acked + tally.died + tally.expired + tally.purged + tally.dropped;
    if (messages + left !== produced + tally.returned)
      return wrong(`${messages} there and ${left} left of ${produced} and ${tally.returned}`);
    if (produced !== logged.produced) return wrong(`${produced} produced by its stats, ${logged.produced} by its log`);
    for (const { dead, expired, group, leased, purged, ready, settled } of groups) {
      const acknowledged = logged.settled.get(group) ?? 0;
      const inHand = logged.leased.get(group) ?? 0;
      if (settled !== acknowledged) return wrong(`group ${group} has settled ${settled} by its stats, ${acknowledged} by its log`);
      if (leased !== inHand) return wrong(`group ${group} has ${leased} in hand by its stats, ${inHand} by its log`);
      if (ready < 0) return wrong(`group ${group} has ${ready} ready`);
      const sum = settled + ready + leased + delayed + dead + expired + purged;
      if (logged.whole && sum !== produced) return wrong(`group ${group} accounts for ${sum} of ${produced}`);
      if (ready + leased + delayed > messages) return wrong(`group ${group} has more before it than the ${messages} there are`);
    }
  }
  return null;
}
