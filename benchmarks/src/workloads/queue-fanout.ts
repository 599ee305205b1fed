import { rotated } from "../driver/statistics.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { measureRoundTrips, roundOf } from "./round-trip-cells.ts";
import { Attempts, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "queue-fanout";
const groups = ["billing", "mail", "search"];
const inFlight = 256;

function measure(context: RunContext, subject: Subject): Promise<Round> {
  return withSubject(context, subject, async (bench) => {
    const client = await bench.queueClient();
    const cell = await measureRoundTrips(context, bench, client, { queue: "bench-fanout", groups, keys: 0, inFlight, open: true });
    await client.stop();
    const { trips, deliveries } = cell.closed;
    return roundOf(cell, { deliveries_per_s: deliveries / trips.seconds });
  });
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Round>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const measured = await attempts.add(subject, () => measure(context, subject));
      if (measured === null) continue;
      const rate = Math.round(measured.more["messages_per_s"] ?? 0);
      context.note(
        `  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: messages/s ${rate}, each to ${groups.length} groups`,
      );
    }
  }
  const latency = "produce → consumed and acked by all groups, open loop at half the maximum";
  return attempts.results((subject, rounds) => [
    resultOf(context, { workload: name, subject, transport: subject.transport, clients: inFlight, latency }, rounds),
  ]);
}

/** One message for several readers. */
export const queueFanout: Workload = {
  name,
  service: "queues",
  summary: "every message to 3 consumer groups, 256 in flight",
  excludes: ({ queues }) => (queues?.groups === true ? null : "has no consumer groups"),
  minutes: 1,
  run,
};
