import type { ClientProcess } from "../clients/client-process.ts";
import { Histogram } from "../driver/histogram.ts";
import type { RoundTripOptions, RoundTripResult } from "../driver/round-trips.ts";
import type { Cost } from "../measure/window.ts";
import type { Round } from "./cells.ts";
import { slackMs, type Bench, type RunContext } from "./workload.ts";

/** Messages an open loop may have on their way: enough that only a real stall makes an arrival wait. */
const openInFlight = 2048;
/**
 * Messages on their way for each that a consumer may hold. With one, no message ever waits in the queue, and a client that fetches one by one as long as
 * its queue is empty (BullMQ's worker) is measured in nothing but that.
 */
const depth = 4;

export interface RoundTripCell {
  readonly closed: RoundTripResult;
  readonly cost: Cost;
  readonly open: RoundTripResult | null;
}

function call(client: ClientProcess, options: RoundTripOptions): Promise<RoundTripResult> {
  return client.call("roundTrips", options, options.durationMs + slackMs * 2);
}

/** A closed loop, and an open one at half its rate when that is asked for, on a queue of their own. */
export async function measureRoundTrips(
  context: RunContext,
  bench: Bench,
  client: ClientProcess,
  options: {
    readonly queue: string;
    readonly groups: readonly string[];
    readonly keys: number;
    readonly inFlight: number;
    readonly open: boolean;
  },
): Promise<RoundTripCell> {
  const { warmUpMs, measureMs } = context.effort;
  const { queue, groups, keys, inFlight } = options;
  await client.call("queueOpen", { queue, shape: { groups, keyed: keys > 0, onePartition: false } }, slackMs * 2);
  const closed = (durationMs: number): Promise<RoundTripResult> =>
    call(client, { queue, groups, keys, inFlight: inFlight * depth, credit: inFlight, durationMs, rate: null });
  await closed(warmUpMs);
  const { result, cost } = await bench.cost(client, () => closed(measureMs));
  const { completed, seconds, first_error: error } = result.trips;
  if (completed === 0) throw new Error(`no message came through at ${inFlight} in flight: ${error ?? "no error either"}`);
  if (!options.open) return { closed: result, cost, open: null };
  const rate = completed / seconds / 2;
  const openOptions = { queue, groups, keys, inFlight: openInFlight, credit: inFlight, durationMs: measureMs, rate };
  return { closed: result, cost, open: await call(client, openOptions) };
}

export function roundOf({ closed, cost, open }: RoundTripCell, more: Round["more"]): Round {
  const { trips } = closed;
  const stated = open ?? closed;
  const { p50_ms, p99_ms, p999_ms } = Histogram.from(stated.trips.latency).summary();
  const received = Histogram.from(stated.received).summary();
  const closedTimes = Histogram.from(trips.latency).summary();
  const errors = trips.errors + (open?.trips.errors ?? 0);
  const duplicates = closed.duplicates + (open?.duplicates ?? 0);
  return {
    ops: trips.completed,
    seconds: trips.seconds,
    errors,
    firstError: trips.first_error ?? open?.trips.first_error ?? null,
    p50_ms,
    p99_ms,
    p999_ms,
    cost,
    more: {
      messages_per_s: trips.completed / trips.seconds,
      received_p50_ms: received.p50_ms,
      received_p99_ms: received.p99_ms,
      closed_p50_ms: closedTimes.p50_ms,
      closed_p99_ms: closedTimes.p99_ms,
      open_max_backlog: open?.trips.max_backlog ?? null,
      duplicates,
      ...more,
    },
  };
}
