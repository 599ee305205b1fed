import type { LoadTest } from "./load-test.ts";

/** One of the numbers that S4 promises (N-01 to N-04), as this run saw it from outside. */
export interface Headline {
  readonly id: string;
  readonly promise: string;
  readonly measured: string;
  readonly remark: string;
}

function ms(value: number | null): string {
  return value === null ? "none in this run" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function headlinesOf(test: LoadTest): readonly Headline[] {
  const { tally } = test;
  const locks = tally.summaryOf(["POST /locks/acquire", "POST /locks/release"]);
  const acked = tally.summaryOf(["POST /queue/ack"]).count;
  const produced = tally.summaryOf(["POST /queue/produce"]).count;
  const seconds = test.progress().elapsedMs / 1_000;
  const { before, after, leaderChanges } = test.looks();
  const sum = (of: "hits" | "misses"): number => total(after, of) - total(before, of);
  const [hits, misses] = [sum("hits"), sum("misses")];
  const changes = leaderChanges === 0 ? "no leader change" : `${leaderChanges} new term${leaderChanges > 1 ? "s" : ""}`;
  return [
    {
      id: "N-01",
      promise: "lock operations below 10 ms",
      measured: locks.count === 0 ? "none in this run" : `${ms(locks.p50_ms)} median, ${ms(locks.p99_ms)} at the 99th percentile`,
      remark: `${locks.count} granted and released, over HTTP, under this load, with the load generator on its own machine or not`,
    },
    {
      id: "N-02",
      promise: "more than 1000 messages a second",
      measured:
        produced === 0
          ? "none in this run"
          : `${Math.round(produced / seconds)} produced and ${Math.round(acked / seconds)} settled a second`,
      remark: "one call per message; how far it goes depends on the users, who wait for each answer",
    },
    {
      id: "N-03",
      promise: "cache hit ratio above 90 %",
      measured: hits + misses <= 0 ? "none in this run" : `${((100 * hits) / (hits + misses)).toFixed(1)} % of ${hits + misses} reads`,
      remark: "as the nodes count; a read after somebody else's write is a miss by necessity",
    },
    {
      id: "N-04",
      promise: "a new leader within 1 s",
      measured: `${ms(tally.longestPauseMs())} was the longest time without an acknowledged write`,
      remark: `${changes} in this run; kill the leader's process while it runs to measure one`,
    },
  ];
}

function total(looks: ReturnType<LoadTest["looks"]>["before"], of: "hits" | "misses"): number {
  return looks.reduce((sum, look) => sum + look[of], 0);
}
