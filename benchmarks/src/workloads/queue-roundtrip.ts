import { ratio, rotated } from "../driver/statistics.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { measureRoundTrips, roundOf } from "./round-trip-cells.ts";
import { Attempts, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "queue-roundtrip";
const levels = [64, 256] as const;
const groups = ["workers"];
/** Of the variant with order within keys. */
const keys = 10_000;

interface Cell {
  readonly clients: number;
  readonly round: Round;
}

/** The same load with a key on every message, right after the unordered one: only figures of one moment make a ratio. */
async function keyed(context: RunContext, bench: Bench, inFlight: number, unordered: number): Promise<Round["more"]> {
  const client = await bench.queueClient();
  const options = { queue: `bench-keyed-${inFlight}`, groups, keys, inFlight, open: false };
  const { closed } = await measureRoundTrips(context, bench, client, options);
  await client.stop();
  const rate = closed.trips.completed / closed.trips.seconds;
  return {
    keyed_messages_per_s: rate,
    keyed_ratio: ratio(rate, unordered),
    keyed_overtaken: closed.overtaken,
    keyed_errors: closed.trips.errors,
    keyed_duplicates: closed.duplicates,
  };
}

async function measure(context: RunContext, bench: Bench): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const clients of levels) {
    const client = await bench.queueClient();
    const cell = await measureRoundTrips(context, bench, client, {
      queue: `bench-trip-${clients}`,
      groups,
      keys: 0,
      inFlight: clients,
      open: true,
    });
    await client.stop();
    const unordered = cell.closed.trips.completed / cell.closed.trips.seconds;
    const more = bench.subject.queues?.keys === true ? await keyed(context, bench, clients, unordered) : {};
    cells.push({ clients, round: roundOf(cell, more) });
  }
  return cells;
}

function resultsOf(context: RunContext, subject: Subject, rounds: readonly (readonly Cell[])[]): Result[] {
  return levels.map((clients) => {
    const own = rounds.flatMap((cells) => cells.filter((cell) => cell.clients === clients).map(({ round }) => round));
    const latency = "produce → consumed and acked, open loop at half the maximum";
    return resultOf(context, { workload: name, subject, transport: subject.transport, clients, latency }, own);
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<readonly Cell[]>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const cells = await attempts.add(subject, () => withSubject(context, subject, (bench) => measure(context, bench)));
      if (cells === null) continue;
      const rates = cells.map(({ clients, round: { more } }) => {
        const withKeys = more["keyed_messages_per_s"];
        const keyedRate = typeof withKeys === "number" ? ` (${Math.round(withKeys)} with keys)` : "";
        return `${Math.round(more["messages_per_s"] ?? 0)} at ${clients}${keyedRate}`;
      });
      context.note(`  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: messages/s ${rates.join(", ")}`);
    }
  }
  return attempts.results((subject, rounds) => resultsOf(context, subject, rounds));
}

/** A message's whole way, with consumers that keep up. */
export const queueRoundtrip: Workload = {
  name,
  service: "queues",
  summary: "produce → consume → ack at 64 and 256 in flight; end-to-end latency at half the maximum; order within 10 000 keys",
  excludes: ({ queues }) => (queues?.consumes === true ? null : "keeps nothing to consume"),
  minutes: 3,
  run,
};
