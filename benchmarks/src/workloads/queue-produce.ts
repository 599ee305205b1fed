import { messageBytes } from "../driver/message.ts";
import { Histogram } from "../driver/histogram.ts";
import type { OperationsResult } from "../driver/operations.ts";
import { rotated } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "queue-produce";
const levels = [1, 64, 256] as const;
/** Produces an open loop may have under way: enough that only a real stall makes an arrival wait. */
const openCallers = 1024;

interface Cell {
  readonly clients: number;
  readonly round: Round;
}

function roundOf(closed: OperationsResult, cost: Cost, open: OperationsResult): Round {
  const closedTimes = Histogram.from(closed.latency).summary();
  const { p50_ms, p99_ms, p999_ms } = Histogram.from(open.latency).summary();
  return {
    ops: closed.completed,
    seconds: closed.seconds,
    errors: closed.errors + open.errors,
    firstError: closed.first_error ?? open.first_error,
    p50_ms,
    p99_ms,
    p999_ms,
    cost,
    more: {
      messages_per_s: closed.completed / closed.seconds,
      closed_p50_ms: closedTimes.p50_ms,
      closed_p99_ms: closedTimes.p99_ms,
      open_max_backlog: open.max_backlog,
    },
  };
}

async function measure(context: RunContext, bench: Bench): Promise<Cell[]> {
  const { warmUpMs, measureMs } = context.effort;
  const client = await bench.queueClient();
  const cells: Cell[] = [];
  for (const clients of levels) {
    // A queue for each level: what the one before has left must not weigh on this one.
    const queue = `bench-produce-${clients}`;
    await client.call("queueOpen", { queue, shape: { groups: ["workers"], keyed: false, onePartition: false } }, slackMs * 2);
    const closed = (durationMs: number): Promise<OperationsResult> =>
      client.call("produceClosed", { queue, callers: clients, durationMs }, durationMs + slackMs);
    await closed(clients === 1 ? warmUpMs : warmUpMs / 2);
    const { result, cost } = await bench.cost(client, () => closed(measureMs));
    if (result.completed === 0) throw new Error(`nothing was produced at ${clients} in flight: ${result.first_error ?? "no error either"}`);
    const rate = result.completed / result.seconds / 2;
    const open = await client.call("produceOpen", { queue, rate, durationMs: measureMs, callers: openCallers }, measureMs + slackMs);
    cells.push({ clients, round: roundOf(result, cost, open) });
  }
  await client.stop();
  return cells;
}

function resultsOf(context: RunContext, subject: Subject, rounds: readonly (readonly Cell[])[]): Result[] {
  return levels.map((clients) => {
    const own = rounds.flatMap((cells) => cells.filter((cell) => cell.clients === clients).map(({ round }) => round));
    const key = { workload: name, subject, transport: subject.transport, clients, latency: "produce, open loop at half the maximum" };
    return resultOf(context, key, own);
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<readonly Cell[]>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const options = { recordBytes: messageBytes };
      const cells = await attempts.add(subject, () => withSubject(context, subject, (bench) => measure(context, bench), options));
      if (cells === null) continue;
      const rates = cells.map(({ clients, round: { more } }) => `${Math.round(more["messages_per_s"] ?? 0)} at ${clients}`);
      context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: messages/s ${rates.join(", ")}`);
    }
  }
  return attempts.results((subject, rounds) => resultsOf(context, subject, rounds));
}

/** How fast messages become safe, and how soon. */
export const queueProduce: Workload = {
  name,
  service: "queues",
  summary: "messages of 1 KiB into a queue that nobody reads, at 1, 64 and 256 in flight; latency at half the maximum",
  excludes: () => null,
  minutes: 3,
  run,
};
