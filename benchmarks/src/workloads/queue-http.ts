import type { AliasLoopResult } from "../driver/alias-loop.ts";
import { Histogram } from "../driver/histogram.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "queue-http";
const queue = "bench-http";
const workers = 64;

function roundOf(result: AliasLoopResult, cost: Cost): Round {
  const produce = Histogram.from(result.produce).summary();
  const consume = Histogram.from(result.consume).summary();
  const ack = Histogram.from(result.ack).summary();
  return {
    ops: result.messages,
    seconds: result.seconds,
    errors: result.errors + result.lost,
    firstError: result.lost > 0 ? `${result.lost} messages were produced and never consumed` : result.first_error,
    p50_ms: produce.p50_ms,
    p99_ms: produce.p99_ms,
    p999_ms: produce.p999_ms,
    cost,
    more: {
      messages_per_s: result.messages / result.seconds,
      seconds: result.seconds,
      produced: result.produced,
      lost: result.lost,
      duplicates: result.duplicates,
      consume_p50_ms: consume.p50_ms,
      consume_p99_ms: consume.p99_ms,
      ack_p50_ms: ack.p50_ms,
      ack_p99_ms: ack.p99_ms,
    },
  };
}

function measure(context: RunContext, subject: Subject): Promise<Round> {
  return withSubject(context, subject, async (bench) => {
    const client = await bench.queueClient();
    await client.call("aliasLoop", { queue: `${queue}-warm-up`, workers, durationMs: context.effort.warmUpMs }, slackMs * 2);
    const options = { queue, workers, durationMs: context.effort.httpMs };
    const { result, cost } = await bench.cost(client, () => client.call("aliasLoop", options, options.durationMs + slackMs * 4));
    if (result.messages === 0) throw new Error(`no message came through: ${result.first_error ?? "no error either"}`);
    return roundOf(result, cost);
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Round>(context, name);
  for (const subject of subjects) {
    context.note(`  ${subject.name}: ${context.effort.httpMs / 1000} s of produce, consume and ack over HTTP`);
    await attempts.add(subject, () => measure(context, subject));
  }
  const latency = "produce, closed loop";
  return attempts.results((subject, rounds) => [
    resultOf(context, { workload: name, subject, transport: "http", clients: workers, latency }, rounds),
  ]);
}

/** The three calls that a curl script or any HTTP library can make. */
export const queueHttp: Workload = {
  name,
  service: "queues",
  summary: "POST /queue/produce, /queue/consume and /queue/ack in turn by 64 workers over all nodes: messages per second, none lost",
  excludes: ({ queues }) => (queues?.aliases === true ? null : "has no such calls"),
  minutes: 6,
  run,
};
