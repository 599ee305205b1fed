import { join } from "node:path";
import { cacheKeys } from "../driver/cache-client.ts";
import type { CacheReadResult } from "../driver/cache-reads.ts";
import { Histogram } from "../driver/histogram.ts";
import { ratio, rotated } from "../driver/statistics.ts";
import { startLink } from "../links/link.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "cache-read-remote";
const keys = 200;
const measureMs = 120_000;

type Transport = "native" | "http";

interface Cell {
  readonly transport: Transport;
  /** `near`: of keys whose home is the node that is asked; `far`: of the others; null: nobody divides them. */
  readonly rounds: { readonly near: Round | null; readonly far: Round | null };
}

function roundOf(result: CacheReadResult, cost: Cost): Round {
  const reads = Histogram.from(result.reads).summary();
  const trip = Histogram.from(result.round_trips).summary();
  const { p50_ms, p99_ms, p999_ms } = reads;
  const more = { round_trip_p50_ms: trip.p50_ms, round_trip_p99_ms: trip.p99_ms, round_trips: ratio(p50_ms, trip.p50_ms) };
  return { ops: reads.count, seconds: result.seconds, errors: 0, firstError: null, p50_ms, p99_ms, p999_ms, cost, more };
}

/** The home of a key, as a node says. */
async function homeOf(url: string, key: string): Promise<unknown> {
  const response = await fetch(`${url}/v1/cache/${encodeURIComponent(key)}?explain=1`, { signal: AbortSignal.timeout(slackMs) });
  if (!response.ok) throw new Error(`explain of ${key} answered ${response.status}: ${await response.text()}`);
  const body = (await response.json()) as { readonly home: unknown };
  return body.home;
}

/** Ours: keys by whether the node that the client asks is their home. Others know no such difference. */
async function divided(bench: Bench): Promise<{ readonly near: string[]; readonly far: string[] }> {
  const all = cacheKeys(keys);
  const [url] = (await bench.running.target("native")).urls;
  const leader = (await bench.running.leadership())?.leader;
  if (bench.subject.name !== "trivet" || url === undefined) return { near: all, far: [] };
  const near: string[] = [];
  const far: string[] = [];
  for (const key of all) ((await homeOf(url, key)) === leader ? near : far).push(key);
  return { near, far };
}

async function measure(context: RunContext, bench: Bench): Promise<Cell[]> {
  const link = await startLink(context.keeper, [], join(bench.directory, "link.out"));
  const cells: Cell[] = [];
  for (const transport of bench.subject.http ? (["native", "http"] as const) : (["native"] as const)) {
    const client = await bench.cacheClient(transport);
    await client.call("cacheOpen", { entries: 0 }, slackMs);
    await client.call("cacheFill", { keys: cacheKeys(keys) }, slackMs * 2);
    const { near, far } = await divided(bench);
    const read = async (some: readonly string[], reads: number): Promise<Round | null> => {
      if (some.length === 0) return null;
      const options = { keys: some, reads, echoPort: link.echoPort };
      const { result, cost } = await bench.cost(client, () => client.call("cacheReads", options, measureMs + slackMs));
      return roundOf(result, cost);
    };
    const { reads } = context.effort.cache;
    await read([...near, ...far], Math.ceil(reads / 4));
    cells.push({ transport, rounds: { near: await read(near, reads), far: await read(far, reads) } });
    await client.stop();
  }
  await link.stop();
  return cells;
}

function resultsOf(context: RunContext, subject: Subject, measured: readonly (readonly Cell[])[]): Result[] {
  return (["native", "http"] as const).flatMap((transport) =>
    (["near", "far"] as const).flatMap((where) => {
      const rounds = measured.flatMap((cells) =>
        cells.flatMap((cell) => (cell.transport === transport && cell.rounds[where] !== null ? [cell.rounds[where]] : [])),
      );
      const wire = transport === "http" ? "http" : subject.transport;
      const key = { workload: name, subject, clients: 1, latency: "one read at a time" };
      return rounds.length === 0 ? [] : [resultOf(context, { ...key, transport: where === "far" ? `${wire}, other home` : wire }, rounds)];
    }),
  );
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<readonly Cell[]>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const cells = await attempts.add(subject, () => withSubject(context, subject, (bench) => measure(context, bench)));
      if (cells === null) continue;
      const words = cells.flatMap(({ transport, rounds }) =>
        Object.entries(rounds).flatMap(([where, one]) => {
          const { p50_ms, more } = one ?? { p50_ms: null, more: {} };
          return p50_ms === null ? [] : [`${transport} ${where} ${p50_ms.toFixed(3)} ms = ${more["round_trips"]?.toFixed(2)} round trips`];
        }),
      );
      context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: ${words.join("; ")}`);
    }
  }
  return attempts.results((subject, measured) => resultsOf(context, subject, measured));
}

/** A read of a value that another process keeps in memory. */
export const cacheReadRemote: Workload = {
  name,
  service: "cache",
  summary: "reads of values that another process has, one at a time, beside a round trip of the loopback interface",
  excludes: (subject) => {
    if (subject.cache?.shared !== true) return "has no other process to ask";
    return subject.cache.copies && subject.name !== "trivet" ? "answers from its own process; without copies it is redis" : null;
  },
  minutes: 1,
  run,
};
