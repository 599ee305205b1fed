import type { QueueDetails, QueuesApi } from "@trivet/engine";
import type { QueueView } from "@trivet/core";
import type { Metrics } from "./metrics.ts";

/** A scrape asks for the depth of so many queues, the first by name: each is a question to every one of its partitions. */
const measuredQueues = 64;
const countedQueues = 1_000;
/** Nobody waits longer for numbers. */
const questionMs = 500;
/** Scrapes that follow each other closely share one measurement. */
const freshMs = 5_000;

const listed = (queues: QueuesApi): Promise<readonly QueueView[] | null> =>
  new Promise((resolve) => {
    queues.list("", "", countedQueues, questionMs, (outcome) => resolve(outcome.type === "listed" ? outcome.queues : null));
  });
const detailed = (queues: QueuesApi, name: string): Promise<QueueDetails | null> =>
  new Promise((resolve) => {
    queues.details(name, questionMs, (outcome) => resolve(outcome.type === "details" ? outcome : null));
  });

const sum = <T>(items: readonly T[], value: (item: T) => number): number => items.reduce((total, item) => total + value(item), 0);

const leavings = ["acked", "died", "expired", "purged", "dropped"] as const;

/** Totals of each queue, as the shards have counted them: conservation can be seen from outside. */
function setTotals(metrics: Metrics, details: readonly QueueDetails[]): void {
  for (const name of ["queue_accepted", "queue_left"] as const) metrics.reset(name);
  for (const { queue, partitions } of details) {
    const { name } = queue.definition;
    metrics.set(
      "queue_accepted",
      sum(partitions, ({ produced, returned }) => produced + returned),
      { queue: name },
    );
    for (const how of leavings)
      metrics.set(
        "queue_left",
        sum(partitions, (each) => each[how]),
        { queue: name, how },
      );
  }
}

function setGauges(metrics: Metrics, details: readonly QueueDetails[], wallNow: number): void {
  const partitions = details.flatMap((each) => each.partitions);
  const groups = partitions.flatMap((partition) => partition.groups);
  metrics.set(
    "queue_messages",
    sum(partitions, (each) => each.messages),
  );
  metrics.set(
    "queue_bytes",
    sum(partitions, (each) => each.bytes),
  );
  metrics.set(
    "queue_delayed",
    sum(partitions, (each) => each.delayed),
  );
  metrics.set(
    "queue_dead_letters",
    sum(partitions, (each) => each.dead),
  );
  metrics.set(
    "queue_ready",
    sum(groups, (each) => each.ready),
  );
  metrics.set(
    "queue_leased",
    sum(groups, (each) => each.leased),
  );
  setTotals(metrics, details);
  const times = partitions.map((each) => each.oldestAt).filter((at) => at > 0);
  metrics.set("queue_oldest_age_seconds", times.length === 0 ? 0 : Math.max(0, wallNow - Math.min(...times)) / 1_000);
}

/** Depths of the queues, measured when somebody scrapes. What could not be asked keeps its last value. */
export function collectQueueMetrics(metrics: Metrics, queues: QueuesApi, now: () => number, wallNow: () => number): void {
  let measuredAt = Number.NEGATIVE_INFINITY;
  metrics.onCollect(async () => {
    if (now() - measuredAt < freshMs) return;
    measuredAt = now();
    const known = await listed(queues);
    if (known === null) return;
    metrics.set("queues", known.length);
    const measured = await Promise.all(known.slice(0, measuredQueues).map((queue) => detailed(queues, queue.definition.name)));
    const details = measured.filter((each) => each !== null);
    if (details.length === measured.length) setGauges(metrics, details, wallNow());
  });
}
