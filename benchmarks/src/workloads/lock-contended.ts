import type { HandOffResult } from "../driver/hand-off.ts";
import { Histogram } from "../driver/histogram.ts";
import { rotated } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "lock-contended";
const clients = 16;

function roundOf(result: HandOffResult, cost: Cost): Round {
  const { p50_ms, p99_ms, p999_ms, max_ms } = Histogram.from(result.hand_off).summary();
  const wait = Histogram.from(result.wait).summary();
  return {
    ops: (result.hand_offs + result.own_again) * 2,
    seconds: result.seconds,
    errors: result.errors,
    firstError: result.first_error,
    p50_ms,
    p99_ms,
    p999_ms,
    cost,
    more: {
      hand_offs_per_s: result.hand_offs / result.seconds,
      max_ms,
      own_again: result.own_again,
      wait_p50_ms: wait.p50_ms,
      wait_p99_ms: wait.p99_ms,
    },
  };
}

function measure(context: RunContext, subject: Subject): Promise<Round> {
  const { warmUpMs, measureMs } = context.effort;
  return withSubject(context, subject, async (bench) => {
    const client = await bench.client();
    await client.call("prepare", { callers: clients }, slackMs);
    const contend = (durationMs: number): Promise<HandOffResult> =>
      client.call("handOff", { callers: clients, durationMs, name: "bench/contended" }, durationMs + slackMs);
    await contend(warmUpMs);
    const { result, cost } = await bench.cost(client, () => contend(measureMs));
    if (result.hand_offs === 0) throw new Error(`no hand-off happened: ${result.first_error ?? "no error either"}`);
    return roundOf(result, cost);
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Round>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const value = await attempts.add(subject, () => measure(context, subject));
      if (value !== null) {
        context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: hand-off p50 ${value.p50_ms?.toFixed(2)} ms`);
      }
    }
  }
  const latency = "hand-off: release sent → grant received by the next caller";
  return attempts.results((subject, rounds) => [
    resultOf(context, { workload: name, subject, transport: subject.transport, clients, latency }, rounds),
  ]);
}

/** Everybody wants the same lock. */
export const lockContended: Workload = {
  name,
  service: "locks",
  summary: "16 clients on one name: time from sending a release to receiving the next grant",
  excludes: () => null,
  minutes: 1,
  run,
};
