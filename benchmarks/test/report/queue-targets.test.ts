import { describe, expect, it } from "vitest";
import { charts } from "../../src/report/charts.ts";
import { page } from "../../src/report/markdown.ts";
import { targets } from "../../src/report/targets.ts";
import type { Result } from "../../src/results.ts";
import { good, goodQueues, machine } from "./fixtures.ts";

function withMore(entry: Result, workload: string, more: Readonly<Record<string, number>>): Result {
  return entry.workload === workload ? { ...entry, more: { ...entry.more, ...more } } : entry;
}

function slower(entry: Result, workload: string, subject: string, opsPerSecond: number): Result {
  return entry.workload === workload && entry.subject === subject && entry.clients === 256 ? { ...entry, ops_per_s: opsPerSecond } : entry;
}

function unknown(results: readonly Result[]): number {
  return targets(results).filter(({ met }) => met === null).length;
}

describe("the targets of the queues", () => {
  it("are reached by results that reach them, and stand behind those of the locks", () => {
    expect(targets(goodQueues()).map(({ met }) => met)).toEqual(Array.from({ length: 7 }, () => true));
    expect(targets([...good(), ...goodQueues()])).toHaveLength(15);
    expect(targets(good()).every(({ what }) => !what.startsWith("queue"))).toBe(true);
  });

  const worse: readonly (readonly [string, (entry: Result) => Result])[] = [
    ["256 in flight", (entry) => slower(entry, "queue-produce", "floor", 101_000)],
    ["256 in flight", (entry) => slower(entry, "queue-produce", "nats", 27_000)],
    ["256 in flight", (entry) => slower(entry, "queue-produce", "bullmq", 40_001)],
    ["produce → consume → ack", (entry) => slower(entry, "queue-roundtrip", "bullmq", 15_001)],
    ["produce → consume → ack", (entry) => (entry.workload === "queue-roundtrip" ? { ...entry, p99_ms: 50 } : entry)],
    ["10 000 keys", (entry) => withMore(entry, "queue-roundtrip", { keyed_ratio: 0.79 })],
    ["10 000 keys", (entry) => withMore(entry, "queue-roundtrip", { keyed_overtaken: 1 })],
    ["backlog", (entry) => withMore(entry, "queue-backlog", { rss_anon_peak_bytes: 513 * 2 ** 20 })],
    ["backlog", (entry) => withMore(entry, "queue-backlog", { drain_ratio: 0.69 })],
    ["backlog", (entry) => withMore(entry, "queue-backlog", { restart_to_first_message_ms: 15_000 })],
    ["backlog", (entry) => withMore(entry, "queue-backlog", { lost: 1 })],
    ["kill -9", (entry) => (entry.workload === "queue-failover" ? { ...entry, p99_ms: 1000 } : entry)],
    ["kill -9", (entry) => withMore(entry, "queue-failover", { overtaken: 1 })],
    ["over HTTP", (entry) => (entry.workload === "queue-http" ? { ...entry, ops_per_s: 999 } : entry)],
    ["over HTTP", (entry) => withMore(entry, "queue-http", { lost: 1 })],
  ];
  it.each(worse)("are missed when one figure of %s is too low", (what, spoil) => {
    const missed = targets(goodQueues().map(spoil)).filter(({ met }) => met === false);
    expect(missed.map((target) => target.what).join()).toContain(what);
    expect(missed).toHaveLength(1);
  });

  it("are neither reached nor missed by a smaller backlog, fewer kills, a shorter time or a missing peer", () => {
    expect(unknown(goodQueues().map((entry) => withMore(entry, "queue-backlog", { messages: 20_000 })))).toBe(1);
    expect(unknown(goodQueues().map((entry) => withMore(entry, "queue-failover", { failovers: 5 })))).toBe(1);
    expect(unknown(goodQueues().map((entry) => withMore(entry, "queue-http", { seconds: 5 })))).toBe(1);
    expect(unknown(goodQueues().filter(({ subject }) => subject !== "bullmq"))).toBe(3);
  });
});

describe("the page with queues", () => {
  it("has a chart for each workload that has one, and links only those that exist", () => {
    const results = goodQueues();
    const pictures = charts(results);
    const text = page({ machines: { queue: machine }, versions: {}, results, leftOut: [] }, pictures);
    const linked = [...text.matchAll(/\(benchmarks\/([a-z-]+\.svg)\)/g)].map(([, file]) => file);
    expect(new Set(linked)).toEqual(new Set(pictures.map(({ file }) => file)));
    expect(linked).toContain("queue-produce.svg");
    expect(linked).toContain("queue-backlog-memory.svg");
    for (const { svg } of pictures) expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
    expect(text).toContain("Queues, three nodes");
    expect(text).not.toContain("lock-uncontended");
  });
});
