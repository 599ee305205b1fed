import type { MetricName } from "@trivet/contract";
import type { CacheApi, NodeApi } from "@trivet/engine";
import { statfs } from "node:fs";
import type { NodeConfig } from "../config/index.ts";
import { cacheJson } from "./cache-metrics.ts";
import type { Metrics } from "./metrics.ts";
import { diskBytes, systemJson } from "./system-metrics.ts";

interface LockNumbers {
  readonly held: number;
  readonly waiters: number;
  readonly sessions: number;
  readonly lastFence: number;
}

function lockNumbers(node: NodeApi): Promise<LockNumbers> {
  return new Promise((resolve) => {
    node.read("stale", 1_000, (outcome) => {
      if (outcome.type !== "ready") resolve({ held: 0, waiters: 0, sessions: 0, lastFence: 0 });
      else {
        const { state } = outcome;
        resolve({ held: state.lockCount(), waiters: state.waiterCount(), sessions: state.sessionCount(), lastFence: state.lastFence });
      }
    });
  });
}

const groupGauges = [
  "raft_has_leader",
  "raft_is_leader",
  "raft_term",
  "raft_commit_index",
  "raft_applied_index",
  "raft_last_index",
  "raft_first_index",
  "snapshot_index",
  "snapshot_bytes",
  "snapshot_age_seconds",
] as const;

/** Raft gauges from the node's status. */
function collectRaft(metrics: Metrics, node: NodeApi): void {
  const status = node.status();
  // A shard that this node does not hold any more has no leader to know.
  for (const name of groupGauges) metrics.reset(name);
  for (const group of status.groups) {
    const labels = { group: String(group.group) };
    metrics.set("raft_has_leader", group.leader === null ? 0 : 1, labels);
    metrics.set("raft_is_leader", group.role === "leader" ? 1 : 0, labels);
    metrics.set("raft_term", group.term, labels);
    metrics.set("raft_commit_index", group.commitIndex, labels);
    metrics.set("raft_applied_index", group.appliedIndex, labels);
    metrics.set("raft_last_index", group.lastIndex, labels);
    metrics.set("raft_first_index", group.firstIndex, labels);
    if (group.snapshot === null) continue;
    metrics.set("snapshot_index", group.snapshot.index, labels);
    metrics.set("snapshot_bytes", group.snapshot.bytes, labels);
    if (group.snapshot.ageMs !== null) metrics.set("snapshot_age_seconds", group.snapshot.ageMs / 1_000, labels);
  }
  if (status.clockOffsetMs !== null) metrics.set("clock_offset_seconds", status.clockOffsetMs / 1_000);
  for (const name of ["raft_peer_match_lag", "raft_peer_connected", "raft_peer_rtt_seconds"] as const) metrics.reset(name);
  for (const peer of status.peers) {
    metrics.set("raft_peer_connected", peer.connected ? 1 : 0, { peer: peer.node });
    metrics.set("raft_peer_match_lag", peer.lag, { peer: peer.node });
    if (peer.rttMs !== null) metrics.set("raft_peer_rtt_seconds", peer.rttMs / 1_000, { peer: peer.node });
  }
  metrics.set("raft_proposals_pending", status.openCommands);
  if (status.quorumContactMsAgo !== null) metrics.set("raft_quorum_contact_age_seconds", status.quorumContactMsAgo / 1_000);
  const membership = status.groups[0]?.membership;
  const voters = membership?.voters ?? [];
  const connected = new Set<string>(status.peers.filter((peer) => peer.connected).map((peer) => peer.node));
  const reachable = voters.filter((voter) => voter === status.node || connected.has(voter)).length;
  metrics.set("raft_members", voters.length, { kind: "voter" });
  metrics.set("raft_members", membership?.learners.length ?? 0, { kind: "learner" });
  metrics.set("raft_failure_tolerance", Math.max(0, reachable - (Math.floor(voters.length / 2) + 1)));
}

interface DiskNumbers {
  readonly free: number;
  readonly size: number;
}
const diskNumbers = (path: string): Promise<DiskNumbers | null> =>
  new Promise((resolve) => {
    statfs(path, (error, stats) => {
      resolve(error === null ? { free: stats.bavail * stats.bsize, size: stats.blocks * stats.bsize } : null);
    });
  });

/** Counts by one label until the next scrape: a counter of the library costs as much per event as granting a lock does. */
class Tally {
  readonly #metrics: Metrics;
  readonly #name: MetricName;
  readonly #label: string | null;
  readonly #counts = new Map<string, number>();

  constructor(metrics: Metrics, name: MetricName, label: string | null) {
    this.#metrics = metrics;
    this.#name = name;
    this.#label = label;
  }

  add(value: string): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
  }

  handOver(): void {
    for (const [value, count] of this.#counts) this.#metrics.count(this.#name, count, this.#label === null ? {} : { [this.#label]: value });
    this.#counts.clear();
  }
}

/** Counts what apply does on this node. The label of a mode or cause is one of a handful; names and owners never are labels. */
function countEvents(metrics: Metrics, node: NodeApi): () => void {
  const grants = new Tally(metrics, "lock_grants_total", "mode");
  const releases = new Tally(metrics, "lock_releases_total", "cause");
  const expired = new Tally(metrics, "lock_expired_total", null);
  const waitsEnded = new Tally(metrics, "lock_wait_ended_total", "cause");
  const opened = new Tally(metrics, "sessions_opened_total", null);
  const ended = new Tally(metrics, "sessions_ended_total", "cause");
  const tallies = [grants, releases, expired, waitsEnded, opened, ended];
  metrics.onCollect(() => {
    for (const tally of tallies) tally.handOver();
  });
  return node.watch((event) => {
    switch (event.type) {
      case "lock-granted":
        grants.add(event.mode);
        return;
      case "lock-released":
        releases.add(event.cause);
        if (event.cause === "expired" || event.cause === "session-lost") expired.add("");
        return;
      case "wait-ended":
        waitsEnded.add(event.cause);
        return;
      case "session-opened":
        opened.add("");
        return;
      case "session-ended":
        ended.add(event.cause);
        return;
      case "lock-waiting":
      case "queue-defined":
      case "queue-deleted":
      case "namespace-defined":
      case "namespace-deleted":
      case "placement-changed":
      case "level-raised":
      case "node-draining":
    }
  });
}

/** Sum over the labels of a family. */
function total(value: unknown): number {
  if (typeof value === "number") return value;
  return Array.isArray(value) ? value.reduce((sum: number, sample: { readonly value: number }) => sum + sample.value, 0) : 0;
}

/** The JSON of /metrics: S0's three keys, S4's families, and every Prometheus family as numbers. */
async function metricsJson(metrics: Metrics, node: NodeApi, cache: CacheApi | null, config: NodeConfig): Promise<unknown> {
  const values = await metrics.values();
  const status = node.status();
  const group = status.groups[0];
  const numbers = await lockNumbers(node);
  const own = cacheJson(cache?.statistics() ?? null, config.cache.capacity);
  const disk = await diskNumbers(config.storage.dataDir);
  return {
    ...own.s0,
    node_id: status.node,
    system: { ...systemJson(), disk: { free_bytes: disk?.free ?? null, size_bytes: disk?.size ?? null, ...diskBytes() } },
    raft: {
      role: group?.role ?? "follower",
      leader: group?.leader ?? null,
      term: group?.term ?? 0,
      commit_index: group?.commitIndex ?? 0,
      applied_index: group?.appliedIndex ?? 0,
      elections: total(values["raft_elections_total"]),
      leader_changes: total(values["raft_leader_changes_total"]),
      replication: values["raft_commit_duration_seconds"],
      peers: status.peers.map((peer) => ({ node: peer.node, connected: peer.connected, lag: peer.lag, rtt_ms: peer.rttMs })),
    },
    locks: {
      held: numbers.held,
      waiting: numbers.waiters,
      sessions: numbers.sessions,
      last_fence: String(numbers.lastFence),
      acquire: values["lock_acquire_duration_seconds"],
      release: values["lock_release_duration_seconds"],
      deadlocks: total(values["lock_deadlocks_total"]),
      expired: total(values["lock_expired_total"]),
    },
    cache: own.s4,
    queue: {
      produced: total(values["queue_produced_total"]),
      consumed: total(values["queue_consumed_total"]),
      ready: total(values["queue_ready"]),
      inflight: total(values["queue_leased"]),
      dead: total(values["queue_dead_letters"]),
    },
    metrics: values,
  };
}

/** Connects the node to the metrics. Returns how to disconnect. */
export function collectNodeMetrics(metrics: Metrics, node: NodeApi, cache: CacheApi | null, config: NodeConfig): () => void {
  metrics.onCollect(async () => {
    collectRaft(metrics, node);
    const numbers = await lockNumbers(node);
    metrics.set("locks_held", numbers.held);
    metrics.set("lock_waiters", numbers.waiters);
    metrics.set("sessions_open", numbers.sessions);
    metrics.set("lock_last_fence", numbers.lastFence);
    const disk = await diskNumbers(config.storage.dataDir);
    if (disk === null) return;
    metrics.set("disk_free_bytes", disk.free);
    metrics.set("disk_size_bytes", disk.size);
  });
  metrics.json = () => metricsJson(metrics, node, cache, config);
  return countEvents(metrics, node);
}
