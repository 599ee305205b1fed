import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { metricNames, metricOf, type MetricName } from "@trivet/contract";
import type { GroupExport, NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scripted, serve, startTestNode, until, type Server } from "../http/harness.ts";
import { parsePrometheus } from "./prometheus.ts";

/** What was asked to be measured (issue 5: consensus, storage, locks, queues, cache, HTTP, security, the process), and what it is called here. */
const asked: Readonly<Record<string, MetricName>> = {
  raft_has_leader: "raft_has_leader",
  is_leader: "raft_is_leader",
  term: "raft_term",
  leader_changes_total: "raft_leader_changes_total",
  commit_index: "raft_commit_index",
  applied_index: "raft_applied_index",
  peer_match_lag: "raft_peer_match_lag",
  proposals_committed_total: "raft_proposals_committed_total",
  proposals_applied_total: "raft_proposals_applied_total",
  proposals_failed_total: "raft_proposals_failed_total",
  proposals_pending: "raft_proposals_pending",
  commit_duration_seconds: "raft_commit_duration_seconds",
  read_index_duration_seconds: "raft_read_index_duration_seconds",
  peer_rtt_seconds: "raft_peer_rtt_seconds",
  peer_send_failures_total: "raft_peer_send_failures_total",
  quorum_contact_age_seconds: "raft_quorum_contact_age_seconds",
  failure_tolerance: "raft_failure_tolerance",
  wal_fsync_duration_seconds: "wal_fsync_duration_seconds",
  wal_bytes: "wal_bytes",
  snapshot_duration_seconds: "snapshot_duration_seconds",
  snapshot_bytes: "snapshot_bytes",
  snapshot_age_seconds: "snapshot_age_seconds",
  storage_corruptions_total: "storage_corruptions_total",
  disk_free_bytes: "disk_free_bytes",
  state_hash_mismatch_total: "raft_state_hash_mismatch_total",
  locks_held: "locks_held",
  lock_waiters: "lock_waiters",
  lock_acquire_duration_seconds: "lock_acquire_duration_seconds",
  lock_expired_total: "lock_expired_total",
  stale_token_rejected_total: "stale_token_rejected_total",
  queue_ready: "queue_ready",
  queue_inflight: "queue_leased",
  queue_delayed: "queue_delayed",
  queue_dead_letter: "queue_dead_letters",
  queue_oldest_age_seconds: "queue_oldest_age_seconds",
  queue_enqueued_total: "queue_produced_total",
  queue_delivered_total: "queue_consumed_total",
  // delivery="again"
  queue_redelivered_total: "queue_consumed_total",
  // settlement="ack"
  queue_acked_total: "queue_settled_total",
  cache_hits_total: "cache_hits_total",
  cache_misses_total: "cache_misses_total",
  cache_evictions_total: "cache_evictions_total",
  cache_invalidations_total: "cache_invalidations_total",
  cache_transitions_total: "cache_transitions_total",
  cache_bytes: "cache_bytes",
  http_request_duration_seconds: "http_request_duration_seconds",
  // reason="rate", and "guesses"
  rate_limited_total: "access_refused_total",
  auth_failures_total: "access_refused_total",
  audit_write_failures_total: "audit_failures_total",
  tls_cert_expiry_timestamp_seconds: "tls_certificate_not_after_seconds",
  clock_offset_seconds: "clock_offset_seconds",
  nodejs_eventloop_lag_p99_seconds: "nodejs_eventloop_lag_p99_seconds",
  build_info: "build_info",
};

const packages = fileURLToPath(new URL("../../../", import.meta.url));
const source = ["engine/src", "server/src"]
  .flatMap((folder) =>
    readdirSync(join(packages, folder), { recursive: true, encoding: "utf8" }).map((file) => join(packages, folder, file)),
  )
  .filter((file) => file.endsWith(".ts"))
  .map((file) => readFileSync(file, "utf8"))
  .join("\n");

describe("the families of the contract", () => {
  test("hold all that were asked for", () => {
    expect(Object.entries(asked).filter(([, ours]) => !metricNames.includes(ours))).toEqual([]);
  });

  test("are each set somewhere: one that nobody sets would be read as zero", () => {
    expect(metricNames.filter((name) => !new RegExp(`"(?:trivet_)?${name}"`).test(source))).toEqual([]);
  });

  test("are counted with their labels: alerts choose by them", () => {
    const bare = [...source.matchAll(/\.count\(\s*"(?:trivet_)?([a-z0-9_]+)",\s*[\w.]+,?\s*\)/g)].map(
      ([, name = ""]) => name as MetricName,
    );
    expect(bare.length).toBeGreaterThan(5);
    expect(bare.filter((name) => (metricOf(name).labels ?? []).length > 0)).toEqual([]);
  });
});

describe("of a running node", () => {
  let host: NodeHost;
  let server: Server;
  let url: string;
  let wall = 1_800_000_000_000;
  beforeAll(async () => {
    ({ host } = await startTestNode());
    server = await serve(host.api, { wallNow: () => wall });
    url = `http://127.0.0.1:${await server.http.listen()}`;
  });
  afterAll(async () => {
    await server.http.close(0);
    await new Promise<void>((resolve) => host.api.stop(resolve));
  });
  const samples = async (name: MetricName) => parsePrometheus(await server.metrics.text()).get(name)?.samples ?? [];
  const value = async (name: MetricName): Promise<number | undefined> => (await samples(name))[0]?.value;

  test("its last snapshot: nothing is said before there is one", async () => {
    for (const name of ["snapshot_bytes", "snapshot_index", "snapshot_age_seconds"] as const) expect(await samples(name)).toEqual([]);
    await server.call("POST", "/v1/locks/a/acquire", { owner: "o" });
    await new Promise<void>((resolve) => host.api.snapshot(() => resolve()));
    expect(await samples("snapshot_bytes")).toMatchObject([{ labels: { group: "0" }, value: expect.any(Number) }]);
    expect(await value("snapshot_index")).toBe(host.api.status().groups[0]?.appliedIndex);
    expect(await value("snapshot_age_seconds")).toBeGreaterThanOrEqual(0);
    expect(await value("snapshot_age_seconds")).toBeLessThan(60);
  });

  test("how far its clock is off", async () => {
    const status = host.api.status();
    expect(status.clockOffsetMs).not.toBeNull();
    expect(Math.abs((await value("clock_offset_seconds")) ?? Number.NaN)).toBeLessThan(5);
  });

  test("when it last gave group 0, with which a backup ends; one that was cut off, or of nothing, is none", async () => {
    expect(await value("backup_last_timestamp_seconds")).toBe(0);
    expect((await fetch(`${url}/v1/backup/groups/7`)).status).toBe(404);
    let closed = false;
    const endless: GroupExport = {
      cluster: "c",
      node: "node1",
      group: 0,
      shards: 8,
      groupTime: 1,
      index: 1,
      term: 1,
      next: (done) => setImmediate(() => done(null, new Uint8Array(1_000))),
      close: () => (closed = true),
    };
    const slow = await serve(scripted(host.api, { exportGroup: (_group, _timeoutMs, done) => done(endless) }), { settle: false });
    const away = new AbortController();
    const begun = await fetch(`http://127.0.0.1:${await slow.http.listen()}/v1/backup/groups/0`, { signal: away.signal });
    expect(begun.status).toBe(200);
    away.abort();
    await until(() => closed, "the end of the one that was cut off");
    for (const { metrics } of [server, slow]) expect(await metrics.text()).toContain("\nbackup_last_timestamp_seconds 0\n");
    await slow.http.close(0);
    for (const at of [1_800_000_000, 1_800_086_400]) {
      wall = at * 1_000 + 600;
      const answer = await fetch(`${url}/v1/backup/groups/0`);
      expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(100);
      await until(async () => (await value("backup_last_timestamp_seconds")) === at, "the time of the backup");
    }
  });
});
