/** Prometheus families of a node. Base units, `_total` for counters; a key, owner or client id is never a label. */
export type MetricKind = "counter" | "gauge" | "histogram";
export interface MetricFamily {
  readonly kind: MetricKind;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly buckets?: readonly number[];
}
const define = <const M extends Record<string, MetricFamily>>(table: M): M => table;

/** From a loopback fsync to a wait of minutes. */
const secondsBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const sizeBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] as const;

export const metrics = define({
  build_info: { kind: "gauge", help: "1, with the version of this node.", labels: ["version", "node_version"] },

  raft_has_leader: { kind: "gauge", help: "1 when this node knows a leader of the group.", labels: ["group"] },
  raft_is_leader: { kind: "gauge", help: "1 when this node leads the group.", labels: ["group"] },
  raft_term: { kind: "gauge", help: "Election term.", labels: ["group"] },
  raft_commit_index: { kind: "gauge", help: "Highest committed log index.", labels: ["group"] },
  raft_applied_index: { kind: "gauge", help: "Highest applied log index.", labels: ["group"] },
  raft_last_index: { kind: "gauge", help: "Last index of the log.", labels: ["group"] },
  raft_first_index: { kind: "gauge", help: "First index still in the log.", labels: ["group"] },
  raft_leader_changes_total: { kind: "counter", help: "Times this node became the leader of the group.", labels: ["group"] },
  raft_elections_total: { kind: "counter", help: "Elections this node began.", labels: ["group"] },
  raft_elections_failed_total: { kind: "counter", help: "Elections this node began and did not win.", labels: ["group"] },
  raft_role_changes_total: { kind: "counter", help: "Changes of this node's role.", labels: ["role"] },
  raft_truncations_total: { kind: "counter", help: "Times another leader's entries replaced this node's." },
  raft_heartbeats_total: { kind: "counter", help: "Heartbeat rounds sent or received.", labels: ["direction"] },
  raft_proposals_committed_total: { kind: "counter", help: "Entries committed through this node." },
  raft_proposals_applied_total: { kind: "counter", help: "Log entries applied." },
  raft_proposals_failed_total: { kind: "counter", help: "Frames refused before they reached the log.", labels: ["reason"] },
  raft_proposals_pending: { kind: "gauge", help: "Commands waiting for their answer on this node." },
  raft_commands_per_entry: { kind: "histogram", help: "Commands in one log entry.", buckets: sizeBuckets },
  raft_commit_duration_seconds: { kind: "histogram", help: "From the proposal to the apply.", buckets: secondsBuckets },
  raft_read_index_duration_seconds: { kind: "histogram", help: "Linearizable read barrier.", buckets: secondsBuckets },
  raft_forwarded_total: { kind: "counter", help: "Frames passed to the leader." },
  http_passed_on_total: { kind: "counter", help: "Calls passed on to a node that runs their service.", labels: ["to"] },
  raft_state_hash_mismatch_total: { kind: "counter", help: "State hashes that differ between replicas (rule W7)." },
  foundings_answered_total: { kind: "counter", help: "Requests to found a cluster that this node answered." },
  clock_skew_alarms_total: { kind: "counter", help: "Times the wall clock differed from group time by too much." },
  clock_offset_seconds: {
    kind: "gauge",
    help: "This node's wall clock less group time, which the leader stamps (its own: since it began to lead), the way of a heartbeat included.",
  },
  raft_peer_match_lag: { kind: "gauge", help: "Log entries the peer is behind, on a leader.", labels: ["peer"] },
  raft_peer_connected: { kind: "gauge", help: "1 while the peer is connected.", labels: ["peer"] },
  raft_peer_rtt_seconds: { kind: "gauge", help: "Last measured round trip to the peer.", labels: ["peer"] },
  raft_peer_send_failures_total: { kind: "counter", help: "Messages that did not reach the peer.", labels: ["peer"] },
  raft_quorum_contact_age_seconds: { kind: "gauge", help: "Since a quorum (leader) or the leader (follower) was heard." },
  raft_failure_tolerance: { kind: "gauge", help: "How many more voters may fail." },
  raft_members: { kind: "gauge", help: "Members of group 0.", labels: ["kind"] },

  wal_fsync_duration_seconds: { kind: "histogram", help: "Durable writes of the log.", buckets: secondsBuckets },
  wal_bytes: { kind: "gauge", help: "Size of the log on disk." },
  wal_written_bytes_total: { kind: "counter", help: "Bytes written to the log." },
  wal_segments: { kind: "gauge", help: "Segments of the log." },
  wal_records_per_sync: { kind: "histogram", help: "Records made durable by one sync.", buckets: sizeBuckets },
  snapshot_duration_seconds: { kind: "histogram", help: "Writing one snapshot.", buckets: secondsBuckets },
  snapshot_bytes: { kind: "gauge", help: "Size of the last snapshot of the group on this node's disk.", labels: ["group"] },
  snapshot_index: { kind: "gauge", help: "Log index of the last snapshot of the group on this node's disk.", labels: ["group"] },
  snapshot_age_seconds: {
    kind: "gauge",
    help: "Since this process wrote or received the last snapshot of the group; none until it has.",
    labels: ["group"],
  },
  snapshots_total: { kind: "counter", help: "Snapshots: taken here, or installed as they came from another node.", labels: ["kind"] },
  backup_last_timestamp_seconds: {
    kind: "gauge",
    help: "When this node last gave all of group 0, with which a backup ends, Unix seconds; 0 = not since it started.",
  },
  storage_corruptions_total: { kind: "counter", help: "Damaged records or files found.", labels: ["kind"] },
  disk_free_bytes: { kind: "gauge", help: "Free space where DATA_DIR is." },
  disk_size_bytes: { kind: "gauge", help: "Size of the file system where DATA_DIR is." },

  locks_held: { kind: "gauge", help: "Locks held or asked for in the cluster." },
  lock_waiters: { kind: "gauge", help: "Waits in line in the cluster." },
  lock_last_fence: { kind: "gauge", help: "Highest fence given out." },
  lock_acquire_duration_seconds: {
    kind: "histogram",
    help: "Acquire calls at this node.",
    labels: ["mode", "outcome"],
    buckets: secondsBuckets,
  },
  lock_release_duration_seconds: { kind: "histogram", help: "Release calls at this node.", labels: ["outcome"], buckets: secondsBuckets },
  lock_grants_total: { kind: "counter", help: "Grants applied on this node.", labels: ["mode"] },
  lock_releases_total: { kind: "counter", help: "Holds that ended, applied on this node.", labels: ["cause"] },
  lock_expired_total: { kind: "counter", help: "Holds that ended because a lease ran out." },
  lock_deadlocks_total: { kind: "counter", help: "Calls answered by this node as a deadlock's victim." },
  lock_wait_ended_total: { kind: "counter", help: "Waits that ended without a grant.", labels: ["cause"] },
  stale_token_rejected_total: { kind: "counter", help: "Calls refused for a fence that is not current." },
  sessions_open: { kind: "gauge", help: "Sessions of the cluster." },
  sessions_opened_total: { kind: "counter", help: "Sessions opened, applied on this node." },
  sessions_ended_total: { kind: "counter", help: "Sessions ended, applied on this node.", labels: ["cause"] },

  queue_produced_total: {
    kind: "counter",
    help: "Messages accepted through this node; `duplicate`: known by its dedupe id, not stored again.",
    labels: ["outcome"],
  },
  queue_produce_refused_total: { kind: "counter", help: "Produce calls refused by this node.", labels: ["reason"] },
  queue_produce_duration_seconds: {
    kind: "histogram",
    help: "Produce calls at this node, until they are durable.",
    labels: ["outcome"],
    buckets: secondsBuckets,
  },
  queue_consumed_total: {
    kind: "counter",
    help: "Messages handed out through this node; `again`: not for the first time.",
    labels: ["delivery"],
  },
  queue_settled_total: {
    kind: "counter",
    help: "Receipts settled through this node.",
    labels: ["settlement", "outcome"],
  },
  queue_purged_total: { kind: "counter", help: "Messages purged through this node." },
  queue_redriven_total: { kind: "counter", help: "Dead letters put back through this node." },
  queues: { kind: "gauge", help: "Queues of the cluster, counted up to 1000. Depths below are of the first 64 by name." },
  queue_messages: { kind: "gauge", help: "Messages not settled by every group." },
  queue_bytes: { kind: "gauge", help: "Bytes of these messages." },
  queue_ready: { kind: "gauge", help: "Messages that groups have yet to be handed out, over all groups." },
  queue_leased: { kind: "gauge", help: "Messages out with consumers, over all groups." },
  queue_delayed: { kind: "gauge", help: "Messages whose time has not come." },
  queue_dead_letters: { kind: "gauge", help: "Dead letters." },
  queue_accepted: {
    kind: "gauge",
    help: "Messages that a queue has accepted so far, dead letters put back counted again: as many as are there and have left.",
    labels: ["queue"],
  },
  queue_left: {
    kind: "gauge",
    help: "Messages that have left a queue so far, by how: acked, died, expired, purged, dropped (with their group).",
    labels: ["queue", "how"],
  },
  queue_oldest_age_seconds: { kind: "gauge", help: "Age of the oldest message that is not settled." },

  cache_hits_total: { kind: "counter", help: "Reads of cached values that this node's own copy answered." },
  cache_misses_total: { kind: "counter", help: "Reads that had to ask the key's home." },
  cache_hit_ratio: { kind: "gauge", help: "Hits of hits and misses, since the node started; 0 without any." },
  cache_writes_total: { kind: "counter", help: "Puts, deletes and increments through this node." },
  cache_evictions_total: { kind: "counter", help: "Copies that this node gave up for want of room." },
  cache_invalidations_total: { kind: "counter", help: "Withdrawals of copies.", labels: ["direction"] },
  cache_transitions_total: { kind: "counter", help: "Changes of this node's copies.", labels: ["from", "to"] },
  cache_lease_lapses_total: { kind: "counter", help: "Leases of this node that ended before they were prolonged." },
  cache_entries: { kind: "gauge", help: "Copies that this node keeps.", labels: ["state"] },
  cache_max_entries: { kind: "gauge", help: "Copies that this node keeps at most (CACHE_CAPACITY)." },
  cache_bytes: { kind: "gauge", help: "Bytes of these copies." },
  cache_max_bytes: { kind: "gauge", help: "Bytes that this node keeps at most (CACHE_MAX_BYTES)." },
  cache_origin_loads_total: {
    kind: "counter",
    help: "Reads of outside origins by this node, as the home of their keys: value, absent, failed.",
    labels: ["origin", "outcome"],
  },
  cache_origin_load_duration_seconds: {
    kind: "histogram",
    help: "Until the origin answered.",
    labels: ["origin"],
    buckets: secondsBuckets,
  },
  cache_revalidations_total: {
    kind: "counter",
    help: "Values that this node asked to be loaded again as their time was over: loaded, changed, unstored, failed, too-many, no-home.",
    labels: ["outcome"],
  },
  cache_behind_writes_total: {
    kind: "counter",
    help: "Writes that this node, as the home of their keys, brought to outside origins: written, newer (repeats and late ones), refused, unreachable.",
    labels: ["origin", "outcome"],
  },
  cache_behind_keys: { kind: "gauge", help: "Keys of the shards that this node leads whose latest write their origin does not have." },
  cache_behind_bytes: { kind: "gauge", help: "Bytes of these writes." },
  cache_behind_seconds: { kind: "gauge", help: "For how long the longest of them has waited." },
  cache_read_duration_seconds: {
    kind: "histogram",
    help: "Reads over HTTP at this node, by what answered them.",
    labels: ["source"],
    buckets: secondsBuckets,
  },
  cache_write_duration_seconds: {
    kind: "histogram",
    help: "Writes over HTTP at this node, until no other copy can be read.",
    labels: ["operation", "outcome"],
    buckets: secondsBuckets,
  },

  tls_certificate_not_after_seconds: { kind: "gauge", help: "When this node's certificate ends, Unix seconds." },
  tls_reloads_total: {
    kind: "counter",
    help: "Times certificate files had changed: loaded, or refused and the old ones kept.",
    labels: ["outcome"],
  },
  tls_refused_total: {
    kind: "counter",
    help: "Connections that ended in the TLS handshake, and plain HTTP on a TLS port.",
    labels: ["reason"],
  },
  peer_refusals_total: { kind: "counter", help: "Peer links that one end refused, by what did not fit.", labels: ["code"] },

  audit_records: { kind: "gauge", help: "Records of this node's audit log, over all its files; it never falls." },
  audit_failures_total: { kind: "counter", help: "Times the audit log could not be written." },
  audit_unanchored_records: {
    kind: "gauge",
    help: "Records of the audit log that are on disk and of which the cluster has no anchor yet; above 0 for a second at a time.",
  },
  audit_anchor_age_seconds: {
    kind: "gauge",
    help: "Since the audit log was anchored in the cluster last; nothing is anchored while nothing is written. 0 before the first time.",
  },
  audit_anchor_failures_total: {
    kind: "counter",
    help: "Times the audit log could not be anchored: no quorum or no answer (unavailable); or it is not what was anchored (mismatch), once.",
    labels: ["reason"],
  },
  access_refused_total: {
    kind: "counter",
    help: "Refused for who asked: none, form, unknown, expired, revoked credential, token_… for tokens, forbidden, over its rate (rate), not looked at after too many wrong ones of its address (guesses); ended: a watch or stream was closed.",
    labels: ["reason"],
  },
  token_keys_loads_total: {
    kind: "counter",
    help: "Times the keys of the tokens' issuer had changed or could not be had: loaded, or refused and the old ones kept.",
    labels: ["outcome"],
  },

  http_requests_total: { kind: "counter", help: "HTTP requests.", labels: ["route", "method", "status"] },
  http_request_duration_seconds: { kind: "histogram", help: "HTTP requests.", labels: ["route", "method"], buckets: secondsBuckets },
  http_connections: { kind: "gauge", help: "Open connections of the API port.", labels: ["kind"] },
  http_rejected_connections_total: {
    kind: "counter",
    help: "Connections closed at the limit (silent, total, address), and requests refused for their form: slow, headers, malformed, body (too large).",
    labels: ["reason"],
  },
  trace_faults_total: {
    kind: "counter",
    help: "Times the tracer that the process has registered threw an error: a span is missing, or is not whole, and nothing else.",
  },
  stream_frames_total: { kind: "counter", help: "Command frames that came over streams." },
  stream_disconnects_total: { kind: "counter", help: "Streams closed by this node.", labels: ["reason"] },
  watchers: { kind: "gauge", help: "Open server-sent-events connections." },

  process_cpu_seconds_total: { kind: "counter", help: "CPU time of the process." },
  process_resident_memory_bytes: { kind: "gauge", help: "Resident memory of the process." },
  process_heap_bytes: { kind: "gauge", help: "JavaScript heap in use." },
  process_disk_bytes_total: {
    kind: "counter",
    help: "Bytes this process had read from and written to disks (Linux).",
    labels: ["direction"],
  },
  process_open_fds: { kind: "gauge", help: "Open file descriptors." },
  process_start_time_seconds: { kind: "gauge", help: "Start of the process, Unix seconds." },
  nodejs_eventloop_lag_p99_seconds: { kind: "gauge", help: "99th percentile of the event loop's delay since the last scrape." },
  nodejs_eventloop_lag_max_seconds: { kind: "gauge", help: "Longest delay of the event loop since the last scrape." },
  system_cpus: { kind: "gauge", help: "Processors of the machine." },
  system_cpu_seconds_total: { kind: "counter", help: "Time of the machine's processors, summed, by what it went to.", labels: ["mode"] },
  system_load1: { kind: "gauge", help: "Load average of the machine, one minute." },
  system_memory_free_bytes: { kind: "gauge", help: "Free memory of the machine." },
  system_memory_total_bytes: { kind: "gauge", help: "Memory of the machine." },
  system_network_bytes_total: { kind: "counter", help: "Bytes of the machine's network interfaces.", labels: ["direction"] },
});
export type MetricName = keyof typeof metrics;
export const metricNames = Object.keys(metrics) as MetricName[];
export function metricOf(name: MetricName): MetricFamily {
  return metrics[name];
}
export function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(metrics, name);
}
