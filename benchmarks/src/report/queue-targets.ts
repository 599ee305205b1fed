import { ratio } from "../driver/statistics.ts";
import type { Missing, Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";
import { figure } from "../table.ts";
import { backlogTargets } from "./backlog-targets.ts";
import { Figures, all, atLeast, atMost, below, counted, partOf, type Target } from "./figures.ts";

/** Our throughput beside that of a peer. */
function beside(figures: Figures, workload: string, clients: number, what: string, peer: SubjectName, bound: number): Target {
  const ours = figures.find(workload, "trivet", clients)?.ops_per_s;
  const theirs = figures.find(workload, peer, clients)?.ops_per_s;
  const times = ratio(ours, theirs);
  return {
    workload,
    what: `queue: ${what}, ${clients} in flight, beside ${peer}`,
    target: `≥ ${bound} × ${peer}`,
    reached: `${figure(ours)} messages/s = ${figure(times)} × ${figure(theirs)}`,
    met: atLeast(times, bound),
  };
}

function produce(figures: Figures, clients: number): Target[] {
  const bounds: readonly (readonly [SubjectName, number])[] = [
    ["floor", 0.4],
    ["nats", 1.5],
    ["bullmq", 1],
  ];
  return bounds.map(([peer, bound]) => beside(figures, "queue-produce", clients, "produce of 1 KiB", peer, bound));
}

const roundtrip = "queue-roundtrip";

function roundTrips(figures: Figures, clients: number): Target[] {
  const ours = figures.find(roundtrip, "trivet", clients);
  const more = ours?.more ?? {};
  const share = more["keyed_ratio"];
  return [
    beside(figures, roundtrip, clients, "produce → consume → ack", "bullmq", 1),
    {
      workload: roundtrip,
      what: `queue: produce → consume → ack at half of that load, ${clients} in flight`,
      target: "p99 < 50 ms",
      reached: `p50 ${figure(ours?.p50_ms)} ms, p99 ${figure(ours?.p99_ms)} ms`,
      met: below(ours?.p99_ms, 50),
    },
    {
      workload: roundtrip,
      what: `queue: order within 10 000 keys, ${clients} in flight`,
      target: "≥ 0.8 × unordered, nothing overtaken",
      reached: `${figure(more["keyed_messages_per_s"])} messages/s = ${figure(share)} × unordered, ${counted(more["keyed_overtaken"])} overtaken`,
      met: all([atLeast(share, 0.8), atMost(more["keyed_overtaken"], 0)]),
    },
  ];
}

function failover(figures: Figures): Target[] {
  const workload = "queue-failover";
  const ours = figures.find(workload, "trivet");
  const more = ours?.more ?? {};
  const part = partOf(more["failovers"] ?? null, 100, "kills");
  const kill = "queue: kill -9 of a shard's leader, 100 times";
  return [
    {
      workload,
      what: `${kill} → first consume`,
      target: "p99 < 1 s",
      reached: `p50 ${figure(ours?.p50_ms)} ms, p99 ${figure(ours?.p99_ms)} ms, longest ${figure(more["max_ms"])} ms`,
      met: below(ours?.p99_ms, 1000),
      part,
    },
    {
      workload,
      what: `${kill} → redelivery`,
      target: "p99 < 1 s",
      reached: `p50 ${figure(more["redelivery_p50_ms"])} ms, p99 ${figure(more["redelivery_p99_ms"])} ms`,
      met: below(more["redelivery_p99_ms"], 1000),
      part,
    },
    {
      workload,
      what: `${kill}: what comes of the messages`,
      target: "none lost, nothing reordered within a key",
      reached: `${counted(more["lost"])} lost, ${counted(more["overtaken"])} overtaken`,
      met: all([atMost(more["lost"], 0), atMost(more["overtaken"], 0)]),
      part,
    },
  ];
}

/** Five minutes; the last call of a worker may end a moment before. */
const httpSeconds = 300;

function http(figures: Figures, subject: SubjectName, storage: string): Target {
  const workload = "queue-http";
  const ours = figures.find(workload, subject, undefined, "http");
  const more = ours?.more ?? {};
  const seconds = more["seconds"] ?? null;
  return {
    workload,
    what: `queue: S4's produce, consume and ack over HTTP, 5 minutes, ${storage}`,
    target: "≥ 1 000 messages/s, none lost",
    reached: `${figure(ours?.ops_per_s)} messages/s over ${figure(seconds)} s, ${counted(more["lost"])} lost of ${counted(more["produced"])}`,
    met: all([atLeast(ours?.ops_per_s, 1000), atMost(more["lost"], 0)]),
    part: partOf(seconds === null ? null : Math.round(seconds), httpSeconds, "s"),
  };
}

/** The numbers to reach of the queues. */
export function queueTargets(results: readonly (Result | Missing)[]): readonly Target[] {
  const figures = new Figures(results);
  return [
    ...produce(figures, 64),
    ...produce(figures, 256),
    ...roundTrips(figures, 64),
    ...roundTrips(figures, 256),
    ...backlogTargets(figures),
    ...failover(figures),
    http(figures, "trivet", "embedded store (fsync on a majority)"),
    http(figures, "trivet-redis-everysec", "one Redis, appendfsync everysec"),
    http(figures, "trivet-redis-always", "one Redis, appendfsync always"),
  ];
}
