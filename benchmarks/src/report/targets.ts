import { ratio } from "../driver/statistics.ts";
import { isMissing, type Missing, type Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";
import { aligned, figure } from "../table.ts";
import { cacheTargets } from "./cache-targets.ts";
import { Figures, all, atLeast, atMost, verdictOf, type Target } from "./figures.ts";
import { queueTargets } from "./queue-targets.ts";

/** Our throughput over that of a peer, at the same number of clients. */
function over(figures: Figures, peer: SubjectName, clients: number): number | null {
  const ours = figures.find("lock-uncontended", "trivet", clients);
  return ratio(ours?.ops_per_s, figures.find("lock-uncontended", peer, clients)?.ops_per_s);
}

function throughput(figures: Figures, clients: number, bounds: readonly (readonly [SubjectName, number])[]): Target {
  const pairs = figures.find("lock-uncontended", "trivet", clients)?.more["pairs_per_s"];
  const ratios = bounds.map(([peer, bound]) => ({ peer, bound, value: over(figures, peer, clients) }));
  return {
    workload: "lock-uncontended",
    what: `acquire + release on the stream, ${clients} in flight`,
    target: ratios.map(({ peer, bound }) => `≥ ${bound} × ${peer}`).join(", "),
    reached: `${figure(pairs)} pairs/s: ${ratios.map(({ peer, value }) => `${figure(value)} × ${peer}`).join(", ")}`,
    met: all(ratios.map(({ bound, value }) => atLeast(value, bound))),
  };
}

function oneInFlight(figures: Figures): Target {
  const floor = figures.find("lock-uncontended", "floor", 1)?.more["closed_p50_ms"];
  const stream = figures.find("lock-uncontended", "trivet", 1)?.more["closed_p50_ms"];
  const http = figures.find("lock-uncontended", "trivet", 1, "http")?.more["closed_p50_ms"];
  const onStream = ratio(stream, floor);
  const overHttp = ratio(http, floor);
  return {
    workload: "lock-uncontended",
    what: "one in flight, acquire p50",
    target: "≤ 1.6 × floor on the stream, ≤ 2.5 × over HTTP",
    reached: `${figure(stream)} ms = ${figure(onStream)} × floor; HTTP ${figure(http)} ms = ${figure(overHttp)} × floor`,
    met: all([atMost(onStream, 1.6), atMost(overHttp, 2.5)]),
  };
}

function handOff(figures: Figures): Target {
  const ours = figures.find("lock-contended", "trivet")?.p50_ms;
  const etcd = figures.find("lock-contended", "etcd");
  const commit = figures.find("lock-uncontended", "trivet", 1)?.more["closed_p50_ms"];
  const commits = ratio(ours, commit);
  return {
    workload: "lock-contended",
    what: "contended hand-off, 16 clients on one name, p50",
    target: "≤ 2 commits (a commit = acquire p50 with one in flight)",
    reached: `${figure(ours)} ms = ${figure(commits)} commits; etcd ${figure(etcd?.p50_ms)} ms, ${figure(etcd?.more["wait_p50_ms"])} ms in line`,
    met: atMost(commits, 2),
  };
}

function failover(figures: Figures): Target {
  const ours = figures.find("lock-failover", "trivet");
  const runs = ours?.more["failovers"] ?? null;
  return {
    workload: "lock-failover",
    what: "kill -9 of the leader → next grant, 100 runs",
    target: "p99 < 1 s",
    reached: `p50 ${figure(ours?.p50_ms)} ms, p99 ${figure(ours?.p99_ms)} ms, longest ${figure(ours?.more["max_ms"])} ms in ${figure(runs)} runs`,
    met: all([atMost(ours?.p99_ms, 999.999), runs === null || runs < 100 ? null : true]),
  };
}

function http(figures: Figures): Target {
  const ours = figures.find("lock-uncontended", "trivet", 1, "http");
  const acquire = ours?.more["closed_p99_ms"];
  const release = ours?.more["closed_release_p99_ms"];
  return {
    workload: "lock-uncontended",
    what: "plain HTTP, one client: acquire and release each",
    target: "p99 < 10 ms",
    reached: `acquire ${figure(acquire)} ms, release ${figure(release)} ms`,
    met: all([atMost(acquire, 9.999), atMost(release, 9.999)]),
  };
}

function soak(figures: Figures): Target {
  const ours = figures.find("lock-soak", "trivet");
  const seconds = ours?.more["seconds"] ?? null;
  const changes = ours?.more["leader_changes"];
  const gap = figure(ours?.more["longest_gap_ms"]);
  return {
    workload: "lock-soak",
    what: "leader changes in 10 minutes at full load",
    target: "0",
    reached: `${figure(changes)} in ${figure(seconds)} s; longest gap ${gap} ms, ${ours?.errors ?? "–"} errors`,
    met: all([atMost(changes, 0), seconds === null || seconds < 599 ? null : true]),
  };
}

function million(figures: Figures): Target {
  const ours = figures.find("lock-million", "trivet");
  const locks = ours?.more["locks"] ?? null;
  const bytes = ours?.more["bytes_per_lock"];
  const restart = ours?.more["restart_to_grant_ms"];
  return {
    workload: "lock-million",
    what: "1 M held locks",
    target: "≤ 1 KiB each in memory; restart to serving < 10 s",
    reached: `${figure(bytes)} bytes each, ${figure(restart, 1e-3)} s from the start of all nodes to a grant, ${figure(locks)} locks`,
    met: all([atMost(bytes, 1024), atMost(restart, 9_999.999), locks === null || locks < 1e6 ? null : true]),
  };
}

function lockTargets(results: readonly (Result | Missing)[]): readonly Target[] {
  const figures = new Figures(results);
  return [
    throughput(figures, 64, [
      ["etcd", 12],
      ["floor", 0.6],
    ]),
    throughput(figures, 256, [
      ["etcd", 25],
      ["floor", 0.45],
      ["redis", 1.5],
    ]),
    oneInFlight(figures),
    handOff(figures),
    failover(figures),
    http(figures),
    soak(figures),
    million(figures),
  ];
}

/** The table "Numbers to reach" with what was reached: of each service that any of the results is about. */
export function targets(results: readonly (Result | Missing)[]): readonly Target[] {
  const about = (service: string): boolean => results.some(({ workload }) => workload.startsWith(`${service}-`));
  const all = [
    ...(about("lock") ? lockTargets(results) : []),
    ...(about("queue") ? queueTargets(results) : []),
    ...(about("cache") ? cacheTargets(results) : []),
  ];
  return all.map((target) => (target.met === null ? { ...target, reached: failureOf(target, results) ?? target.reached } : target));
}

/** Why ours has no figures, where it was tried. */
function failureOf({ workload }: Target, results: readonly (Result | Missing)[]): string | null {
  const failed = results.find((result): result is Missing => {
    return isMissing(result) && result.workload === workload && result.subject === "trivet";
  });
  return failed?.missing ?? null;
}

/** The verdicts about one workload, for the terminal. `results`: those of the run so far, as some are ratios with another workload. */
export function verdictLines(results: readonly (Result | Missing)[], workload: string): readonly string[] {
  const own = targets(results).filter((target) => target.workload === workload);
  if (own.length === 0) return [];
  const isQuick = results.some((result) => !isMissing(result) && result.quick);
  const rows = own.map((target) => [`  ${verdictOf(target)}`, `${target.what}: ${target.reached}   (wanted: ${target.target})`]);
  return [`verdicts${isQuick ? " of a quick run, which prove nothing" : ""}:`, aligned(rows)];
}
