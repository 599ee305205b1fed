import { join } from "node:path";
import type { CacheStaleResult } from "../driver/cache-stale.ts";
import { Histogram } from "../driver/histogram.ts";
import { startLink } from "../links/link.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "cache-stale";
const keys = 16;
const measureMs = 300_000;

interface Measured {
  readonly healthy: CacheStaleResult;
  readonly cut: CacheStaleResult;
  readonly cost: Cost;
}

function measure(context: RunContext, subject: Subject): Promise<Measured> {
  return withSubject(context, subject, async (bench) => {
    const { urls } = await bench.running.target("native");
    const writes = context.effort.cache.staleWrites;
    const client = await bench.cacheClient();
    const run = (isCut: boolean): Promise<CacheStaleResult> => client.call("staleRun", { keys, writes, isCut }, measureMs + slackMs);
    await client.call("staleOpen", { readerUrls: urls, keys }, slackMs);
    const { result: healthy, cost } = await bench.cost(client, () => run(false));
    const link = await startLink(context.keeper, urls, join(bench.directory, "link.out"));
    await client.call("staleOpen", { readerUrls: link.urls, keys }, slackMs);
    await link.cut();
    const cut = await run(true);
    return { healthy, cut, cost };
  });
}

function roundOf({ healthy, cut, cost }: Measured): Round {
  const { p50_ms, p99_ms, p999_ms } = Histogram.from(healthy.write).summary();
  return {
    ops: healthy.reads,
    seconds: healthy.seconds,
    errors: healthy.no_answer,
    firstError: healthy.no_answer > 0 ? `${healthy.no_answer} reads were not answered over a healthy link` : null,
    p50_ms,
    p99_ms,
    p999_ms,
    cost,
    more: {
      reads: healthy.reads,
      held: healthy.held,
      stale: healthy.stale,
      cut_reads: cut.reads,
      cut_held: cut.held,
      cut_stale: cut.stale,
      cut_without_answer: cut.no_answer,
      cut_seconds: cut.seconds,
      cut_last_stale_s: cut.last_stale_ms / 1000,
      cut_longest_write_ms: Histogram.from(cut.write).summary().max_ms,
    },
  };
}

function inWords({ held, reads, stale }: CacheStaleResult): string {
  return `${stale} of ${reads} stale, ${held ?? "unknown"} had a copy`;
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Measured>(context, name);
  for (const subject of subjects) {
    const value = await attempts.add(subject, () => measure(context, subject));
    if (value === null) continue;
    const { healthy, cut } = value;
    context.note(`  ${subject.name}: ${inWords(healthy)}; link cut: ${inWords(cut)}`);
  }
  const latency = "the write before the read, link healthy";
  return attempts.results((subject, values) => [
    resultOf(context, { workload: name, subject, transport: subject.transport, clients: 2, latency }, values.map(roundOf)),
  ]);
}

/** Whether a read that begins after a write was acknowledged can give what was there before. */
export const cacheStale: Workload = {
  name,
  service: "cache",
  summary: "another client's acknowledged write, then a read in this process, 20 000 times, with the reader's link healthy and cut",
  excludes: (subject) => {
    if (subject.cache?.copies !== true) return "keeps no copies that could be stale";
    return subject.cache.shared ? null : "has no other clients";
  },
  minutes: 2,
  run,
};
