import { cacheKeys } from "../driver/cache-client.ts";
import type { CacheMixedResult } from "../driver/cache-mixed.ts";
import { Histogram } from "../driver/histogram.ts";
import { rotated } from "../driver/statistics.ts";
import { hitRatio } from "../eviction/replay.ts";
import { TraceFolder } from "../eviction/traces.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "cache-mixed";
const keys = 10_000;
const entries = 5000;
const callers = 64;

/** Hits of our policy in a million reads of these keys, which nothing disturbs: of the worst of some seeds, in per cent. */
function zipfHitPercent(): number {
  const trace = new TraceFolder("").load("zipf");
  return Math.min(...[1, 2, 3].map((seed) => hitRatio(trace, "wtinylfu", entries, seed)));
}

function roundOf(result: CacheMixedResult, cost: Cost): Round {
  const reads = Histogram.from(result.reads).summary();
  const writes = Histogram.from(result.writes).summary();
  return {
    ops: result.operations,
    seconds: result.seconds,
    errors: result.errors,
    firstError: result.first_error,
    p50_ms: reads.p50_ms,
    p99_ms: reads.p99_ms,
    p999_ms: reads.p999_ms,
    cost,
    more: {
      hit_percent: result.hit_ratio === null ? null : 100 * result.hit_ratio,
      read_mean_ms: reads.mean_ms,
      write_p50_ms: writes.p50_ms,
      write_p99_ms: writes.p99_ms,
    },
  };
}

function measure(context: RunContext, subject: Subject): Promise<Round> {
  return withSubject(context, subject, async (bench) => {
    const { warmUpMs, measureMs } = context.effort;
    const client = await bench.cacheClient();
    await client.call("cacheOpen", { entries: subject.cache?.copies === true ? entries : 0 }, slackMs);
    await client.call("cacheFill", { keys: cacheKeys(keys) }, slackMs * 2);
    const mixed = (durationMs: number): Promise<CacheMixedResult> =>
      client.call("cacheMixed", { keys, callers, durationMs }, durationMs + slackMs);
    await mixed(warmUpMs);
    const { result, cost } = await bench.cost(client, () => mixed(measureMs));
    if (result.operations === 0) throw new Error(`nothing was answered: ${result.first_error ?? "no error either"}`);
    return roundOf(result, cost);
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Round>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const value = await attempts.add(subject, () => measure(context, subject));
      if (value === null) continue;
      const rate = `${Math.round(value.ops / value.seconds)} operations/s`;
      context.note(
        `  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: ${rate}, ${value.more["hit_percent"]?.toFixed(1) ?? "no"} % hits`,
      );
    }
  }
  const latency = "a read, closed loop";
  return attempts.results((subject, rounds) => {
    const key = { workload: name, subject, transport: subject.transport, clients: callers, latency };
    const result = resultOf(context, key, rounds);
    return [subject.name === "trivet" ? { ...result, more: { ...result.more, zipf_hit_percent: zipfHitPercent() } } : result];
  });
}

/** What a program gets that reads much and writes some. */
export const cacheMixedLoad: Workload = {
  name,
  service: "cache",
  summary: "95 reads to 5 writes by 64 callers of one process, 10 000 keys by Zipf 0.99, room for 5 000 copies",
  excludes: (subject) => (subject.cache?.shared === true ? null : "writes for its own process only"),
  minutes: 1,
  run,
};
