import { describe, expect, it } from "vitest";
import { page } from "../../src/report/markdown.ts";
import { targets } from "../../src/report/targets.ts";
import type { Result } from "../../src/results.ts";
import { good, machine, result } from "./fixtures.ts";

type More = Readonly<Record<string, number>>;

function cell(workload: string, subject: Result["subject"], transport: string, more: More, changes: Partial<Result> = {}): Result {
  return result({ workload, subject, transport, clients: 1, more, ...changes });
}

/** Results of the cache in which every target is reached. */
function goodCaches(): Result[] {
  const silent = { killed_first_max_ms: 600, killed_later_max_ms: 3, stopped_first_max_ms: 700, stopped_later_max_ms: 4 };
  const cut = { cut_reads: 20_000, cut_seconds: 20 };
  return [
    cell("cache-hit", "trivet", "synchronous", { ns: 120, heap_bytes: 0.1 }),
    cell("cache-hit", "trivet", "promise", { ns: 300, heap_bytes: 200 }),
    cell("cache-hit", "lru-cache", "synchronous", { ns: 31, heap_bytes: 0 }),
    cell("cache-hit", "node-redis", "promise", { ns: 1600, heap_bytes: 500 }),
    cell("cache-read-remote", "trivet", "stream", { round_trips: 2.4 }),
    cell("cache-read-remote", "trivet", "stream, other home", { round_trips: 2.5 }),
    cell("cache-read-remote", "redis", "resp", { round_trips: 1.5 }),
    cell("cache-write", "trivet", "stream", { commits: 1.4, commit_p50_ms: 1, commit_p99_ms: 5, ...silent }, { clients: 3 }),
    cell("cache-mixed", "trivet", "stream", { hit_percent: 80, zipf_hit_percent: 90.5 }, { clients: 64 }),
    cell("cache-stale", "trivet", "stream", { reads: 20_000, held: 19_990, stale: 0, cut_held: 1, cut_stale: 0, ...cut }, { clients: 2 }),
    cell("cache-stale", "node-redis", "resp", { reads: 20_000, stale: 3000, cut_stale: 20_000, ...cut }, { clients: 2 }),
  ];
}

const withMore = (workload: string, subject: string, transport: string, more: More) => (entry: Result) =>
  entry.workload === workload && entry.subject === subject && entry.transport === transport
    ? { ...entry, more: { ...entry.more, ...more } }
    : entry;

describe("the targets of the cache", () => {
  it("are reached by results that reach them, and stand behind those of the locks", () => {
    expect(targets(goodCaches()).map(({ met }) => met)).toEqual(Array.from({ length: 7 }, () => true));
    expect(targets([...good(), ...goodCaches()])).toHaveLength(15);
    expect(targets(good()).every(({ what }) => !what.startsWith("cache"))).toBe(true);
  });

  const worse: readonly (readonly [string, (entry: Result) => Result])[] = [
    ["synchronous", withMore("cache-hit", "trivet", "synchronous", { ns: 125 })],
    ["synchronous", withMore("cache-hit", "trivet", "synchronous", { heap_bytes: 16 })],
    ["with a promise", withMore("cache-hit", "node-redis", "promise", { ns: 1499 })],
    ["stale reads", withMore("cache-stale", "trivet", "stream", { stale: 1 })],
    ["stale reads", withMore("cache-stale", "trivet", "stream", { cut_stale: 1 })],
    ["stale reads", withMore("cache-stale", "trivet", "stream", { held: 17_999 })],
    ["stale reads", withMore("cache-stale", "trivet", "stream", { cut_held: 0 })],
    ["another process", withMore("cache-read-remote", "trivet", "stream", { round_trips: 2.51 })],
    ["another process", withMore("cache-read-remote", "trivet", "stream, other home", { round_trips: 2.51 })],
    ["2 sharers", withMore("cache-write", "trivet", "stream", { commits: 1.51 })],
    ["killed, or stopped", withMore("cache-write", "trivet", "stream", { stopped_first_max_ms: 713 })],
    ["killed, or stopped", withMore("cache-write", "trivet", "stream", { killed_later_max_ms: 600 })],
    ["Zipf", withMore("cache-mixed", "trivet", "stream", { zipf_hit_percent: 89.9 })],
  ];
  it.each(worse)("are missed when one figure of %s is too bad", (what, spoil) => {
    const missed = targets(goodCaches().map(spoil)).filter(({ met }) => met === false);
    expect(missed.map((target) => target.what).join()).toContain(what);
    expect(missed).toHaveLength(1);
  });

  it("are neither reached nor missed without the peers, or after fewer writes", () => {
    const ours = goodCaches().filter(({ subject }) => subject === "trivet");
    expect(targets(ours).filter(({ met }) => met === null)).toHaveLength(2);
    const fewer = goodCaches().map(withMore("cache-stale", "trivet", "stream", { reads: 500 }));
    expect(targets(fewer).filter(({ met }) => met === null)).toHaveLength(1);
  });

  it("stand in the report with the workloads and how they are measured", () => {
    const text = page({ machines: { cache: machine }, versions: {}, results: goodCaches(), leftOut: [] }, []);
    for (const part of [
      "The cache, three nodes",
      "## cache-stale",
      "npm run bench -- run cache-hit",
      "Values of the cache have 100 characters",
    ])
      expect(text).toContain(part);
  });
});
