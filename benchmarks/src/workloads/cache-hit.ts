import type { CacheHitResult, HitCost } from "../driver/cache-hits.ts";
import { rotated } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "cache-hit";
const keys = 5000;
/** Room for all keys, also where a policy divides it. */
const entries = 2 * keys;
const measureMs = 60_000;

interface Measured {
  readonly result: CacheHitResult;
  readonly cost: Cost;
}

function measure(context: RunContext, subject: Subject): Promise<Measured> {
  return withSubject(context, subject, async (bench) => {
    const client = await bench.cacheClient();
    await client.call("cacheOpen", { entries }, slackMs);
    const options = { keys, requests: context.effort.cache.hits };
    return bench.cost(client, () => client.call("cacheHits", options, measureMs + slackMs));
  });
}

function roundOf({ ns, heap_bytes, spoilt, requests, seconds }: HitCost, cost: Cost): Round {
  return {
    ops: requests,
    seconds,
    errors: 0,
    firstError: null,
    p50_ms: ns / 1e6,
    p99_ms: null,
    p999_ms: null,
    // Of the filling and of both kinds together: it says nothing about one hit.
    cost: { ...cost, cpu_s: null, cpu_s_by_role: {}, written_bytes: null, fsyncs: null },
    more: { ns, heap_bytes, spoilt_batches: spoilt },
  };
}

function resultsOf(context: RunContext, subject: Subject, values: readonly Measured[]): Result[] {
  return (["peek", "get"] as const).flatMap((kind) => {
    const rounds = values.flatMap(({ result, cost }) => {
      const one = result[kind];
      return one === null ? [] : [roundOf(one, cost)];
    });
    const latency = "one hit (p50: median of batches of 20 000)";
    const transport = kind === "peek" ? "synchronous" : "promise";
    return rounds.length === 0 ? [] : [resultOf(context, { workload: name, subject, transport, clients: 1, latency }, rounds)];
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Measured>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const value = await attempts.add(subject, () => measure(context, subject));
      if (value === null) continue;
      const words = Object.entries(value.result).map(([kind, cost]) => {
        const { ns, heap_bytes } = (cost as HitCost | null) ?? { ns: null, heap_bytes: null };
        return ns === null ? `no ${kind}` : `${kind} ${ns.toFixed(0)} ns, ${heap_bytes.toFixed(1)} B`;
      });
      context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: ${words.join("; ")}`);
    }
  }
  return attempts.results((subject, values) => resultsOf(context, subject, values));
}

/** What a read costs that this process answers itself. */
export const cacheHit: Workload = {
  name,
  service: "cache",
  summary: "reads of 5 000 values that this process keeps, keys by Zipf 0.99: the synchronous call and the one with a promise",
  excludes: (subject) => (subject.cache?.copies === true ? null : "keeps nothing in the process that asks"),
  minutes: 1,
  run,
};
