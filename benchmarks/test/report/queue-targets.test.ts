import { describe, expect, it } from "vitest";
import { charts } from "../../src/report/charts.ts";
import { partOf, verdictOf } from "../../src/report/figures.ts";
import { page } from "../../src/report/markdown.ts";
import { targets, verdictLines } from "../../src/report/targets.ts";
import type { Missing, Result } from "../../src/results.ts";
import { good, goodQueues, machine, missing } from "./fixtures.ts";

type More = Readonly<Record<string, number | null>>;

function withMore(entry: Result, workload: string, more: More, subject = "trivet"): Result {
  return entry.workload === workload && entry.subject === subject ? { ...entry, more: { ...entry.more, ...more } } : entry;
}

function slower(entry: Result, workload: string, subject: string, opsPerSecond: number): Result {
  const isMeant = entry.workload === workload && entry.subject === subject && (entry.clients === 256 || workload === "queue-http");
  return isMeant ? { ...entry, ops_per_s: opsPerSecond } : entry;
}

function later(entry: Result, workload: string, p99: number): Result {
  return entry.workload === workload && entry.clients !== 64 ? { ...entry, p99_ms: p99 } : entry;
}

/** What the targets of the queues say, by what they are about. */
function verdicts(results: readonly (Result | Missing)[], about: string): string[] {
  return targets(results)
    .filter(({ what }) => what.includes(about))
    .map(verdictOf);
}

const backlog = (more: More) => (entry: Result) => withMore(entry, "queue-backlog", more);
const failover = (more: More) => (entry: Result) => withMore(entry, "queue-failover", more);

/** What nobody knows whether it is met. */
function unknown(results: readonly Result[]): string[] {
  return targets(results)
    .filter(({ met }) => met === null)
    .map(({ what }) => what);
}

describe("the targets of the queues", () => {
  it("are met by results that meet them, and stand behind those of the locks", () => {
    expect(targets(goodQueues()).map(verdictOf)).toEqual(Array.from({ length: 25 }, () => "met"));
    expect(targets([...good(), ...goodQueues()])).toHaveLength(33);
    expect(targets(good()).every(({ what }) => !what.startsWith("queue"))).toBe(true);
  });

  const worse: readonly (readonly [string, (entry: Result) => Result])[] = [
    ["produce of 1 KiB, 256 in flight, beside floor", (entry) => slower(entry, "queue-produce", "floor", 101_000)],
    ["produce of 1 KiB, 256 in flight, beside nats", (entry) => slower(entry, "queue-produce", "nats", 27_000)],
    ["produce of 1 KiB, 256 in flight, beside bullmq", (entry) => slower(entry, "queue-produce", "bullmq", 40_001)],
    ["ack, 256 in flight, beside bullmq", (entry) => slower(entry, "queue-roundtrip", "bullmq", 15_001)],
    ["half of that load, 256", (entry) => later(entry, "queue-roundtrip", 50)],
    ["10 000 keys, 256", (entry) => (entry.clients === 256 ? withMore(entry, "queue-roundtrip", { keyed_ratio: 0.79 }) : entry)],
    ["10 000 keys, 64", (entry) => (entry.clients === 64 ? withMore(entry, "queue-roundtrip", { keyed_overtaken: 1 }) : entry)],
    ["memory of a node", backlog({ rss_anon_peak_bytes: 513 * 2 ** 20 })],
    ["KiB: nodes", backlog({ oom_kills: 1 })],
    ["KiB: nodes", backlog({ drain_nodes_died: 1 })],
    ["KiB: nodes", backlog({ memory_max_bytes: 2 ** 31 })],
    ["KiB: produce", backlog({ produce_ratio: 0.69 })],
    ["KiB: drain", backlog({ drain_ratio: 0.69 })],
    ["first message", backlog({ restart_to_first_message_ms: 15_000 })],
    ["KiB: messages", backlog({ lost: 1 })],
    ["KiB: heartbeats", backlog({ fill_leader_changes: 1 })],
    ["KiB: heartbeats", backlog({ fill_heartbeats_missed: 1 })],
    ["KiB: heartbeats", backlog({ drain_heartbeats_missed: 1 })],
    ["first consume", (entry) => later(entry, "queue-failover", 1000)],
    ["redelivery", failover({ redelivery_p99_ms: 1000 })],
    ["comes of the messages", failover({ overtaken: 1 })],
    ["comes of the messages", failover({ lost: 1 })],
    ["over HTTP, 5 minutes, embedded", (entry) => slower(entry, "queue-http", "trivet", 999)],
    ["over HTTP, 5 minutes, embedded", (entry) => withMore(entry, "queue-http", { lost: 1 })],
    ["appendfsync everysec", (entry) => slower(entry, "queue-http", "trivet-redis-everysec", 999)],
    ["appendfsync always", (entry) => withMore(entry, "queue-http", { lost: 1 }, "trivet-redis-always")],
  ];
  it.each(worse)("are missed when one figure of %s is too low", (what, spoil) => {
    const missed = targets(goodQueues().map(spoil)).filter((target) => verdictOf(target) === "MISSED");
    expect(missed.map((target) => target.what).join()).toContain(what);
    expect(missed).toHaveLength(1);
  });

  it("name the count of a smaller backlog, of fewer kills and of a shorter time, whether they are met or not", () => {
    const smaller = goodQueues().map(backlog({ messages: 2_000_000, drain_ratio: 0.5 }));
    expect(verdicts(smaller, "KiB: drain")).toEqual(["MISSED (2 000 000 of 10 000 000 messages)"]);
    expect(verdicts(smaller, "KiB: produce")).toEqual(["met (2 000 000 of 10 000 000 messages)"]);
    expect(verdicts(goodQueues().map(failover({ failovers: 40 })), "redelivery")).toEqual(["met (40 of 100 kills)"]);
    const shorter = goodQueues().map((entry) => withMore(entry, "queue-http", { seconds: 44.98 }));
    expect(verdicts(shorter, "embedded")).toEqual(["met (45 of 300 s)"]);
    expect([partOf(null, 3, "x"), partOf(3, 3, "x"), partOf(4, 3, "x"), partOf(0.5, 3, "x")]).toEqual([null, null, null, "0.50 of 3 x"]);
  });

  it("are neither met nor missed without a peer, without a cgroup, with a store that fits in memory, or out of time", () => {
    expect(unknown(goodQueues().filter(({ subject }) => subject !== "bullmq"))).toHaveLength(4);
    expect(unknown(goodQueues().map(backlog({ memory_max_bytes: null, oom_kills: null })))).toEqual([
      "queue: backlog of 10 M × 1 KiB: nodes",
      "queue: backlog of 10 M × 1 KiB: heartbeats",
    ]);
    expect(unknown(goodQueues().map(backlog({ stored_bytes: 2 ** 29 })))).toEqual(["queue: backlog of 10 M × 1 KiB: heartbeats"]);
    const cut = goodQueues().map(backlog({ lost: null, undelivered: 3000 }));
    expect(unknown(cut)).toEqual(["queue: backlog of 10 M × 1 KiB: messages"]);
    expect(targets(cut).find(({ met }) => met === null)?.reached).toContain("3 000 not drained in time");
  });

  it("take results from before a figure was measured: what they do not know is not measured in full", () => {
    const lately = ["nodes", "stored_bytes", "memory_max_bytes", "oom_kills", "redelivery_p99_ms", "produced", "max_ms"];
    const old = goodQueues()
      .filter(({ subject }) => !subject.startsWith("trivet-redis"))
      .map((entry) => {
        const more = Object.entries(entry.more).filter(([name]) => !/^(fill|drain)_[lhn]/.test(name) && !lately.includes(name));
        return { ...entry, more: Object.fromEntries(more) };
      });
    const judged = targets(old);
    expect(judged).toHaveLength(25);
    expect(judged.filter(({ met }) => met === false)).toEqual([]);
    expect(judged.filter(({ met }) => met === null).map(({ what }) => what.slice(-10))).toEqual([
      "KiB: nodes",
      "heartbeats",
      "redelivery",
      "c everysec",
      "ync always",
    ]);
    expect(page({ machines: { queue: machine }, versions: {}, results: old, leftOut: [] }, charts(old))).not.toMatch(/undefined|NaN/);
  });
});

describe("the verdicts of a run", () => {
  it("are those of the workload that has just ended, with value and target", () => {
    const lines = verdictLines(
      goodQueues().map((entry) => slower(entry, "queue-http", "trivet-redis-always", 700)),
      "queue-http",
    );
    expect(lines[0]).toBe("verdicts:");
    const text = lines.join("\n");
    expect(text.match(/^ {2}met /gm)).toHaveLength(2);
    expect(text).toMatch(
      /^ {2}MISSED +queue: .* always: 700 messages\/s over 300 s, 0 lost of 450 000 {3}\(wanted: ≥ 1 000 messages\/s, none lost\)$/m,
    );
    expect(text).not.toContain("backlog");
    expect(verdictLines(goodQueues(), "queue-fanout")).toEqual([]);
  });

  it("say that a quick run proves nothing, and why there are no figures of ours", () => {
    const quick = goodQueues().map((entry) => ({ ...entry, quick: true }));
    expect(verdictLines(quick, "queue-backlog")[0]).toContain("prove nothing");
    const failed = missing({ workload: "queue-backlog", subject: "trivet", missing: "failed: the kernel killed 2 times" });
    const lines = verdictLines([failed], "queue-backlog").join("\n");
    expect(lines.match(/not measured in full +queue: .*: failed: the kernel killed 2 times/g)).toHaveLength(7);
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
    expect(linked).toContain("queue-http.svg");
    for (const { svg } of pictures) expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
    expect(text).toContain("Queues, three nodes");
    expect(text).not.toContain("lock-uncontended");
  });

  it("prints each target with value and verdict, and makes what is missed stand out", () => {
    const results = goodQueues().map((entry) => withMore(entry, "queue-backlog", { messages: 2_000_000, drain_ratio: 0.5 }));
    const text = page({ machines: { queue: machine }, versions: {}, results, leftOut: [] }, []);
    expect(text).toContain("| Workload | Target | Reached | Verdict |");
    expect(text).toContain("0.50 × – | **MISSED (2 000 000 of 10 000 000 messages)** |");
    expect(text).toContain("| met |");
  });
});
