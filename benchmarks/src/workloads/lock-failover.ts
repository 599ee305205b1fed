import type { ClientProcess } from "../clients/client-process.ts";
import { percentileOf } from "../driver/statistics.ts";
import { unknownCost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { monotonicMs, pause } from "../waiting.ts";
import { resultOf } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "lock-failover";
/** Callers that keep the cluster busy while its leader dies. */
const background = 16;
const probeTimeoutMs = 30_000;
const healTimeoutMs = 60_000;

interface Failovers {
  readonly times: readonly number[];
  readonly attempts: readonly number[];
  readonly pairs: number;
  readonly errors: number;
  readonly seconds: number;
}

/** Kills the leader and waits for the grant of an acquire that was sent after the kill. */
async function failOnce(bench: Bench, client: ClientProcess): Promise<{ readonly ms: number; readonly attempts: number }> {
  const leadership = await bench.running.leadership();
  const victim = bench.running.nodes.find((node) => node.name === leadership?.leader);
  if (victim === undefined) throw new Error("no leader to kill");
  const killedAt = monotonicMs();
  const dead = victim.kill();
  const granted = await client.call("probe", { caller: background, timeoutMs: probeTimeoutMs }, probeTimeoutMs + slackMs);
  await dead;
  victim.restart();
  await bench.running.healthy(healTimeoutMs);
  return { ms: granted.granted_at_ms - killedAt, attempts: granted.attempts };
}

function measure(context: RunContext, subject: Subject): Promise<Failovers> {
  return withSubject(context, subject, async (bench) => {
    const client = await bench.client();
    await client.call("prepare", { callers: background + 1 }, slackMs);
    const startedAt = monotonicMs();
    await client.call("background", { callers: background, prefix: "bench/background" }, slackMs);
    await pause(context.effort.warmUpMs);
    const times: number[] = [];
    const attempts: number[] = [];
    for (let run = 0; run < context.effort.failovers; run++) {
      const { ms, attempts: tries } = await failOnce(bench, client);
      times.push(ms);
      attempts.push(tries);
      if ((run + 1) % 10 === 0 || run + 1 === context.effort.failovers) {
        context.note(`  ${subject.name}: ${run + 1} of ${context.effort.failovers}, p50 ${percentileOf(times, 0.5)?.toFixed(0)} ms`);
      }
      // Uneven steps of 200 to 488 ms, so that the kills do not keep time with the heartbeats.
      await pause(200 + ((run * 37) % 10) * 32);
    }
    const { pairs, errors } = await client.call("endBackground", null, probeTimeoutMs + slackMs);
    return { times, attempts, pairs, errors, seconds: (monotonicMs() - startedAt) / 1000 };
  });
}

function resultsOf(context: RunContext, subject: Subject, values: readonly Failovers[]): Result[] {
  const key = { workload: name, subject, transport: subject.transport, clients: background, latency: "kill -9 of the leader → next grant" };
  const times = values.flatMap((value) => value.times);
  const cost = unknownCost;
  const rounds = values.map(({ pairs, seconds }) => ({
    ops: pairs * 2,
    seconds,
    // The callers in the background see errors while there is no leader; that is the event, not a fault of the run.
    errors: 0,
    firstError: null,
    p50_ms: percentileOf(times, 0.5),
    p99_ms: percentileOf(times, 0.99),
    p999_ms: percentileOf(times, 0.999),
    cost,
    more: {
      failovers: times.length,
      max_ms: percentileOf(times, 1),
      background_errors: values.reduce((sum, { errors }) => sum + errors, 0),
      attempts_max: percentileOf(
        values.flatMap(({ attempts }) => attempts),
        1,
      ),
    },
  }));
  return [{ ...resultOf(context, key, rounds), samples: { failover_ms: times } }];
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Failovers>(context, name);
  for (const subject of subjects) await attempts.add(subject, () => measure(context, subject));
  return attempts.results((subject, values) => resultsOf(context, subject, values));
}

/** How long nobody gets a lock when the leader dies. */
export const lockFailover: Workload = {
  name,
  service: "locks",
  summary: "kill -9 of the leader under load → next grant, 100 times",
  excludes: (subject) => (subject.failsOver ? null : "has no fail-over: one node, or no elections"),
  minutes: 5,
  run,
};
