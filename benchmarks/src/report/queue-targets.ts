import { ratio } from "../driver/statistics.ts";
import type { Missing, Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";
import { figure } from "../table.ts";
import { Figures, all, atLeast, atMost, type Target } from "./figures.ts";

/** Throughput of ours over that of each peer. */
function over(
  figures: Figures,
  workload: string,
  clients: number,
  bounds: readonly (readonly [SubjectName, number])[],
): { readonly words: string; readonly target: string; readonly met: boolean | null } {
  const ours = figures.find(workload, "trivet", clients)?.ops_per_s;
  const ratios = bounds.map(([peer, bound]) => ({ peer, bound, value: ratio(ours, figures.find(workload, peer, clients)?.ops_per_s) }));
  return {
    words: `${figure(ours)} messages/s: ${ratios.map(({ peer, value }) => `${figure(value)} × ${peer}`).join(", ")}`,
    target: ratios.map(({ peer, bound }) => `≥ ${bound} × ${peer}`).join(", "),
    met: all(ratios.map(({ bound, value }) => atLeast(value, bound))),
  };
}

function produce(figures: Figures, clients: number): Target {
  const { words, target, met } = over(figures, "queue-produce", clients, [
    ["floor", 0.4],
    ["nats", 1.5],
    ["bullmq", 1],
  ]);
  return { what: `queue: produce of 1 KiB, ${clients} in flight`, target, reached: words, met };
}

function roundtrip(figures: Figures): Target {
  const ours = figures.find("queue-roundtrip", "trivet", 256);
  const { words, target, met } = over(figures, "queue-roundtrip", 256, [["bullmq", 1]]);
  return {
    what: "queue: produce → consume → ack, 256 in flight",
    target: `${target}; p99 < 50 ms at half the maximum`,
    reached: `${words}; p99 ${figure(ours?.p99_ms)} ms`,
    met: all([met, atMost(ours?.p99_ms, 49.999)]),
  };
}

function perKey(figures: Figures): Target {
  const more = figures.find("queue-roundtrip", "trivet", 256)?.more ?? {};
  const share = more["keyed_ratio"] ?? null;
  return {
    what: "queue: order within 10 000 keys, 256 in flight",
    target: "≥ 0.8 × unordered, nothing overtaken",
    reached: `${figure(more["keyed_messages_per_s"])} messages/s = ${figure(share)} × unordered, ${figure(more["keyed_overtaken"])} overtaken`,
    met: all([atLeast(share, 0.8), atMost(more["keyed_overtaken"], 0)]),
  };
}

const tenMillion = 10_000_000;

function backlog(figures: Figures): Target {
  const more = figures.find("queue-backlog", "trivet")?.more ?? {};
  const memory = more["rss_anon_peak_bytes"];
  const restart = more["restart_to_first_message_ms"];
  const produceShare = more["produce_ratio"] ?? null;
  const drainShare = more["drain_ratio"] ?? null;
  const messages = more["messages"] ?? null;
  const rates = `produce ${figure(produceShare)} ×, drain ${figure(drainShare)} × the rate on an empty queue`;
  return {
    what: "queue: backlog of 10 M messages of 1 KiB",
    target: "RssAnon ≤ 512 MiB per node; produce and drain ≥ 0.7 × empty; restart < 15 s; none lost",
    reached: `${figure(memory, 2 ** -20)} MiB; ${rates}; restart ${figure(restart, 1e-3)} s; ${figure(more["lost"])} lost of ${figure(messages)}`,
    met: all([
      atMost(memory, 512 * 2 ** 20),
      atLeast(produceShare, 0.7),
      atLeast(drainShare, 0.7),
      atMost(restart, 14_999.999),
      atMost(more["lost"], 0),
      messages === null || messages < tenMillion ? null : true,
    ]),
  };
}

function failover(figures: Figures): Target {
  const ours = figures.find("queue-failover", "trivet");
  const more = ours?.more ?? {};
  const runs = more["failovers"] ?? null;
  return {
    what: "queue: kill -9 of a shard's leader → first consume, 100 runs",
    target: "p99 < 1 s, nothing lost, nothing overtaken within a key",
    reached:
      `p50 ${figure(ours?.p50_ms)} ms, p99 ${figure(ours?.p99_ms)} ms in ${figure(runs)} runs; redelivery p99 ${figure(more["redelivery_p99_ms"])} ms; ` +
      `${figure(more["lost"])} lost, ${figure(more["overtaken"])} overtaken`,
    met: all([
      atMost(ours?.p99_ms, 999.999),
      atMost(more["lost"], 0),
      atMost(more["overtaken"], 0),
      runs === null || runs < 100 ? null : true,
    ]),
  };
}

function http(figures: Figures): Target {
  const ours = figures.find("queue-http", "trivet", undefined, "http");
  const seconds = ours?.more["seconds"] ?? null;
  return {
    what: "queue: S4's produce, consume and ack over HTTP, 5 minutes",
    target: "≥ 1000 messages/s, none lost",
    reached: `${figure(ours?.ops_per_s)} messages/s over ${figure(seconds)} s, ${figure(ours?.more["lost"])} lost`,
    met: all([atLeast(ours?.ops_per_s ?? null, 1000), atMost(ours?.more["lost"], 0), seconds === null || seconds < 299 ? null : true]),
  };
}

/** The numbers to reach of the queues. */
export function queueTargets(results: readonly (Result | Missing)[]): readonly Target[] {
  const figures = new Figures(results);
  return [
    produce(figures, 64),
    produce(figures, 256),
    roundtrip(figures),
    perKey(figures),
    backlog(figures),
    failover(figures),
    http(figures),
  ];
}
