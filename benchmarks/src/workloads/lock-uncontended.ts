import type { ClientProcess } from "../clients/client-process.ts";
import type { ClosedLoopResult } from "../driver/closed-loop.ts";
import { Histogram } from "../driver/histogram.ts";
import type { OpenLoopResult } from "../driver/open-loop.ts";
import { rotated } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "lock-uncontended";
const levels = [1, 64, 256] as const;
/** Callers an open loop may have under way: enough that only a real stall makes an arrival wait. */
const openCallers = 1024;

/** One round of one subject at one level. */
interface Cell {
  readonly transport: "native" | "http";
  readonly clients: number;
  readonly round: Round;
}

function roundOf(closed: ClosedLoopResult, cost: Cost, open: OpenLoopResult | null): Round {
  const closedAcquire = Histogram.from(closed.acquire).summary();
  const closedRelease = Histogram.from(closed.release).summary();
  const openAcquire = open === null ? null : Histogram.from(open.acquire).summary();
  const openRelease = open === null ? null : Histogram.from(open.release).summary();
  const stated = openAcquire ?? closedAcquire;
  return {
    ops: closed.pairs * 2,
    seconds: closed.seconds,
    errors: closed.errors + (open?.errors ?? 0),
    firstError: closed.first_error ?? open?.first_error ?? null,
    p50_ms: stated.p50_ms,
    p99_ms: stated.p99_ms,
    p999_ms: stated.p999_ms,
    cost,
    more: {
      pairs_per_s: closed.pairs / closed.seconds,
      closed_p50_ms: closedAcquire.p50_ms,
      closed_p99_ms: closedAcquire.p99_ms,
      closed_p999_ms: closedAcquire.p999_ms,
      closed_release_p50_ms: closedRelease.p50_ms,
      closed_release_p99_ms: closedRelease.p99_ms,
      release_p50_ms: openRelease?.p50_ms ?? null,
      release_p99_ms: openRelease?.p99_ms ?? null,
      open_max_backlog: open?.max_backlog ?? null,
      longest_gap_ms: closed.longest_gap_ms,
    },
  };
}

function closed(client: ClientProcess, callers: number, durationMs: number): Promise<ClosedLoopResult> {
  return client.call("closed", { callers, durationMs, prefix: `bench/${callers}` }, durationMs + slackMs);
}

async function measureNative(context: RunContext, bench: Bench): Promise<Cell[]> {
  const { warmUpMs, measureMs } = context.effort;
  const client = await bench.client();
  const cells: Cell[] = [];
  await client.call("prepare", { callers: openCallers }, slackMs);
  await closed(client, 256, warmUpMs);
  for (const clients of levels) {
    await closed(client, clients, warmUpMs / 5);
    const { result, cost } = await bench.cost(client, () => closed(client, clients, measureMs));
    if (result.pairs === 0) throw new Error(`no pair completed at ${clients} in flight: ${result.first_error ?? "no error either"}`);
    // Half the measured maximum: the service is busy but not saturated, so its queue says something about it.
    const rate = result.pairs / result.seconds / 2;
    const options = { rate, durationMs: measureMs, callers: openCallers, prefix: `open/${clients}` };
    const open = await client.call("open", options, measureMs + slackMs);
    cells.push({ transport: "native", clients, round: roundOf(result, cost, open) });
  }
  await client.stop();
  return cells;
}

async function measureHttp(context: RunContext, bench: Bench): Promise<Cell> {
  const { warmUpMs, measureMs } = context.effort;
  const client = await bench.client("http");
  await client.call("prepare", { callers: 1 }, slackMs);
  await closed(client, 1, warmUpMs);
  const { result, cost } = await bench.cost(client, () => closed(client, 1, measureMs));
  await client.stop();
  return { transport: "http", clients: 1, round: roundOf(result, cost, null) };
}

function resultsOf(context: RunContext, subject: Subject, rounds: readonly (readonly Cell[])[]): Result[] {
  return (rounds[0] ?? []).map(({ transport, clients }) => {
    const own = rounds.flatMap((cells) => cells.filter((cell) => cell.transport === transport && cell.clients === clients));
    const native = transport === "native";
    const latency = native ? "acquire, open loop at half the maximum" : "acquire, closed loop";
    const key = { workload: name, subject, transport: native ? subject.transport : "http", clients, latency };
    return resultOf(
      context,
      key,
      own.map(({ round }) => round),
    );
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<readonly Cell[]>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const cells = await attempts.add(subject, () =>
        withSubject(context, subject, async (bench) => {
          const native = await measureNative(context, bench);
          return subject.http ? [...native, await measureHttp(context, bench)] : native;
        }),
      );
      if (cells === null) continue;
      const rates = cells.map(({ clients, transport, round: { more } }) => {
        return `${Math.round(more["pairs_per_s"] ?? 0)} at ${clients}${transport === "http" ? " over HTTP" : ""}`;
      });
      context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: pairs/s ${rates.join(", ")}`);
    }
  }
  return attempts.results((subject, rounds) => resultsOf(context, subject, rounds));
}

/** n callers, each on its own names: what the service does when nobody waits for anybody. */
export const lockUncontended: Workload = {
  name,
  service: "locks",
  summary: "acquire + release on distinct names at 1, 64 and 256 in flight; latency at half the maximum; plain HTTP with one client",
  excludes: () => null,
  minutes: 3,
  run,
};
