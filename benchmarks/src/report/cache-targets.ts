import { ratio } from "../driver/statistics.ts";
import type { Missing, Result } from "../results.ts";
import { figure } from "../table.ts";
import { Figures, all, atLeast, atMost, type Target } from "./figures.ts";

/** A copy lasts so long after its lease was asked for, and its home waits 1 % longer: no clock is exact. */
const leaseMs = 700 * 1.01;

/** Bytes for each hit that are no allocation of the hit: what the engine itself does meanwhile. */
const noAllocation = 1;

function hitNs(figures: Figures, subject: "trivet" | "lru-cache" | "node-redis", transport: string): number | null | undefined {
  return figures.find("cache-hit", subject, 1, transport)?.more["ns"];
}

function peek(figures: Figures): Target {
  const ours = hitNs(figures, "trivet", "synchronous");
  const theirs = hitNs(figures, "lru-cache", "synchronous");
  const bytes = figures.find("cache-hit", "trivet", 1, "synchronous")?.more["heap_bytes"];
  const times = ratio(ours, theirs);
  return {
    workload: "cache-hit",
    what: "cache: a hit in this process, synchronous",
    target: "≤ 4 × get of lru-cache, no allocation",
    reached: `${figure(ours)} ns = ${figure(times)} × ${figure(theirs)} ns, ${figure(bytes)} bytes of heap a hit`,
    met: all([atMost(times, 4), atMost(bytes, noAllocation)]),
  };
}

function promise(figures: Figures): Target {
  const ours = hitNs(figures, "trivet", "promise");
  const theirs = hitNs(figures, "node-redis", "promise");
  const times = ratio(theirs, ours);
  return {
    workload: "cache-hit",
    what: "cache: a hit in this process, with a promise",
    target: "≥ 5 × faster than node-redis's cached GET",
    reached: `${figure(ours)} ns, node-redis ${figure(theirs)} ns: ${figure(times)} × faster`,
    met: atLeast(times, 5),
  };
}

const twentyThousand = 20_000;
/** Of the reads: a reader without copies is never stale, and proves nothing. */
const leastHeld = 0.9;

function stale(figures: Figures): Target {
  const ours = figures.find("cache-stale", "trivet")?.more ?? {};
  const theirs = figures.find("cache-stale", "node-redis")?.more ?? {};
  const reads = ours["reads"] ?? null;
  const heldShare = ratio(ours["held"], reads);
  return {
    workload: "cache-stale",
    what: "cache: stale reads after another client's acknowledged write",
    target: "0 of 20 000, link healthy and cut; 9 of 10 reads, and with the link cut one, of keys that the reader had a copy of",
    reached:
      `${figure(ours["stale"])} and ${figure(ours["cut_stale"])} of ${figure(reads)}, of which ${figure(ours["held"])} and ${figure(ours["cut_held"])} had a copy; node-redis ${figure(theirs["stale"])} and ` +
      `${figure(theirs["cut_stale"])} (the last after ${figure(theirs["cut_last_stale_s"])} of ${figure(theirs["cut_seconds"])} s)`,
    met: all([
      atMost(ours["stale"], 0),
      atMost(ours["cut_stale"], 0),
      atLeast(heldShare, leastHeld),
      atLeast(ours["cut_held"] ?? null, 1),
      reads === null || reads < twentyThousand ? null : true,
    ]),
  };
}

function remote(figures: Figures): Target {
  const near = figures.find("cache-read-remote", "trivet", 1, "stream");
  const far = figures.find("cache-read-remote", "trivet", 1, "stream, other home");
  const redis = figures.find("cache-read-remote", "redis", 1);
  const times = near?.more["round_trips"] ?? null;
  return {
    workload: "cache-read-remote",
    what: "cache: a hit in another process, p50",
    target: "≤ 2.5 × a round trip of the loopback interface",
    reached:
      `${figure(near?.p50_ms)} ms = ${figure(times)} × at the key's home, ${figure(far?.p50_ms)} ms = ${figure(far?.more["round_trips"])} × by way of ` +
      `another node; Redis GET ${figure(redis?.p50_ms)} ms = ${figure(redis?.more["round_trips"])} ×`,
    met: all([atMost(times, 2.5), atMost(far?.more["round_trips"], 2.5)]),
  };
}

function write(figures: Figures): Target {
  const ours = figures.find("cache-write", "trivet");
  const commits = ours?.more["commits"] ?? null;
  return {
    workload: "cache-write",
    what: "cache: a write with 2 sharers, p50",
    target: "≤ 1.5 × one commit (a write that nobody else has a copy of)",
    reached: `${figure(ours?.p50_ms)} ms = ${figure(commits)} × ${figure(ours?.more["commit_p50_ms"])} ms`,
    met: atMost(commits, 1.5),
  };
}

function death(figures: Figures): Target {
  const more = figures.find("cache-write", "trivet")?.more ?? {};
  const commit = more["commit_p99_ms"] ?? null;
  const bound = commit === null ? null : leaseMs + commit;
  const first = (how: string): number | null => more[`${how}_first_max_ms`] ?? null;
  const later = (how: string): number | null => more[`${how}_later_max_ms`] ?? null;
  const within = (value: number | null): boolean | null => (bound === null ? null : atMost(value, bound));
  return {
    workload: "cache-write",
    what: "cache: a sharer is killed, or stopped",
    target: "delays one write by at most its lease (700 ms and 1 %), then never again",
    reached:
      `killed: ${figure(first("killed"))} ms, later at most ${figure(later("killed"))} ms; stopped: ${figure(first("stopped"))} ms, later at most ` +
      `${figure(later("stopped"))} ms`,
    // No later write waits for a lease again: it is a write like those nobody shares.
    met: all([
      within(first("killed")),
      within(first("stopped")),
      atMost(later("killed"), leaseMs / 2),
      atMost(later("stopped"), leaseMs / 2),
    ]),
  };
}

function zipf(figures: Figures): Target {
  const ours = figures.find("cache-mixed", "trivet");
  const theirs = figures.find("cache-mixed", "node-redis");
  const replayed = ours?.more["zipf_hit_percent"] ?? null;
  return {
    workload: "cache-mixed",
    what: "cache: Zipf 0.99 over 10 000 keys, room for 5 000",
    target: "≥ 90 % hits",
    reached:
      `${figure(replayed)} % of a million reads; with 5 writes to 95 reads ${figure(ours?.more["hit_percent"])} % and ${figure(ours?.ops_per_s)} ` +
      `operations/s (node-redis ${figure(theirs?.more["hit_percent"])} % and ${figure(theirs?.ops_per_s)})`,
    met: atLeast(replayed, 90),
  };
}

/** The numbers to reach of the cache. */
export function cacheTargets(results: readonly (Result | Missing)[]): readonly Target[] {
  const figures = new Figures(results);
  return [peek(figures), promise(figures), stale(figures), remote(figures), write(figures), death(figures), zipf(figures)];
}
