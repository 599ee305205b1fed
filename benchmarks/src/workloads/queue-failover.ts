import type { ClientProcess } from "../clients/client-process.ts";
import { percentileOf } from "../driver/statistics.ts";
import type { SteadyResult } from "../driver/steady-stream.ts";
import { unknownCost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { monotonicMs, pause } from "../waiting.ts";
import { resultOf } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "queue-failover";
const queue = "bench-failover";
const group = "workers";
const keys = 16;
const credit = 64;
const waitMs = 30_000;
const healMs = 120_000;

interface Failovers {
  readonly consume: readonly number[];
  readonly redelivery: readonly number[];
  readonly stream: SteadyResult;
  readonly seconds: number;
}

async function failOnce(bench: Bench, client: ClientProcess): Promise<{ readonly consume: number; readonly redelivery: number | null }> {
  const leader = await bench.running.queueLeader(queue);
  const victim = bench.running.nodes.find((node) => node.name === leader);
  if (victim === undefined) throw new Error(`${leader ?? "nobody"} leads ${queue}, and is no node of ours`);
  await client.call("steadyHold", { timeoutMs: waitMs }, waitMs + slackMs);
  const killedAt = monotonicMs();
  const dead = victim.kill();
  const { first_consume_at_ms: consumedAt, redelivered_at_ms: redeliveredAt } = await client.call(
    "steadyAfterKill",
    { killedAtMs: killedAt, timeoutMs: waitMs },
    2 * waitMs + slackMs,
  );
  await dead;
  victim.restart();
  await bench.running.healthy(healMs);
  return { consume: consumedAt - killedAt, redelivery: redeliveredAt === null ? null : redeliveredAt - killedAt };
}

function measure(context: RunContext, subject: Subject): Promise<Failovers> {
  return withSubject(context, subject, async (bench) => {
    const client = await bench.queueClient();
    const keyed = subject.queues?.keys === true;
    await client.call("queueOpen", { queue, shape: { groups: [group], keyed, onePartition: true } }, slackMs * 2);
    const startedAt = monotonicMs();
    await client.call("steadyStart", { queue, group, keys, credit, keyed }, slackMs);
    await pause(context.effort.warmUpMs);
    const consume: number[] = [];
    const redelivery: number[] = [];
    for (let run = 0; run < context.effort.failovers; run++) {
      const times = await failOnce(bench, client);
      consume.push(times.consume);
      if (times.redelivery !== null) redelivery.push(times.redelivery);
      if ((run + 1) % 10 === 0 || run + 1 === context.effort.failovers) {
        context.note(`  ${subject.name}: ${run + 1} of ${context.effort.failovers}, p50 ${percentileOf(consume, 0.5)?.toFixed(0)} ms`);
      }
      // Uneven steps of 200 to 488 ms, so that the kills do not keep time with the heartbeats.
      await pause(200 + ((run * 37) % 10) * 32);
    }
    const stream = await client.call("steadyStop", null, 4 * waitMs + slackMs);
    return { consume, redelivery, stream, seconds: (monotonicMs() - startedAt) / 1000 };
  });
}

function resultsOf(context: RunContext, subject: Subject, values: readonly Failovers[]): Result[] {
  const latency = "kill -9 of the leader → first consume of a message produced since";
  const key = { workload: name, subject, transport: subject.transport, clients: keys, latency };
  const rounds = values.map(({ consume, redelivery, stream, seconds }) => ({
    ops: stream.acked,
    seconds,
    // Calls fail while there is no leader; that is the event. A lost message is a fault of the run.
    errors: stream.lost,
    firstError: stream.lost === 0 ? null : `${stream.lost} messages were produced and never delivered`,
    p50_ms: percentileOf(consume, 0.5),
    p99_ms: percentileOf(consume, 0.99),
    p999_ms: percentileOf(consume, 0.999),
    cost: unknownCost,
    more: {
      failovers: consume.length,
      max_ms: percentileOf(consume, 1),
      redelivery_p50_ms: percentileOf(redelivery, 0.5),
      redelivery_p99_ms: percentileOf(redelivery, 0.99),
      overtaken: stream.overtaken,
      lost: stream.lost,
      duplicates: stream.duplicates,
      failed_calls: stream.errors,
    },
  }));
  const samples = { failover_ms: values.flatMap(({ consume }) => consume), redelivery_ms: values.flatMap(({ redelivery }) => redelivery) };
  return [{ ...resultOf(context, key, rounds), samples }];
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Failovers>(context, name);
  for (const subject of subjects) await attempts.add(subject, () => measure(context, subject));
  return attempts.results((subject, values) => resultsOf(context, subject, values));
}

/** How long a queue stands still when its leader dies, and whether anything is lost or overtaken. */
export const queueFailover: Workload = {
  name,
  service: "queues",
  summary: "kill -9 of the leader of a queue under load → first consume, and redelivery of what was in hand, 100 times",
  excludes: ({ failsOver, queues }) => (failsOver && queues?.consumes === true ? null : "has no fail-over: one node, or no elections"),
  minutes: 5,
  run,
};
