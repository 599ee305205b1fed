import { boardJson, type Board } from "./board-json.ts";
import { by, latency, of, orZero, rate } from "./board-queries.ts";
import { cache } from "./cache-board.ts";
import { security } from "./security-row.ts";

/** The Grafana boards. Every query is asked of a live cluster by test/monitoring.test.ts. */

const cluster: Board = {
  uid: "trivet-cluster",
  title: "Trivet: cluster",
  about: "Consensus, replication and disks.",
  rows: [
    {
      title: "At a glance",
      panels: [
        {
          title: "Leader",
          about: "Nodes that lead group 0: one.",
          kind: "stat",
          queries: [{ expr: `sum(raft_is_leader{${of}, group="0"})`, legend: "" }],
        },
        {
          title: "May still fail",
          about: "Voters that may fail before the cluster stops.",
          kind: "stat",
          queries: [{ expr: `min(raft_failure_tolerance{${of}})`, legend: "" }],
        },
        { title: "Nodes up", about: "Nodes that answer Prometheus.", kind: "stat", queries: [{ expr: `sum(up{${of}})`, legend: "" }] },
        {
          title: "Term",
          about: "Election term of group 0; it rises with every election.",
          kind: "stat",
          queries: [{ expr: `max(raft_term{${of}, group="0"})`, legend: "" }],
        },
      ],
    },
    {
      title: "Raft",
      panels: [
        {
          title: "Who leads group 0",
          about: "1 for the leader.",
          queries: [{ expr: `raft_is_leader{${of}, group="0"}`, legend: by }],
        },
        {
          title: "Shards led",
          about: "Groups of queues and cache that each node leads.",
          queries: [{ expr: `sum by (instance) (raft_is_leader{${of}, group!="0"})`, legend: by }],
        },
        {
          title: "Leader changes and elections",
          about: "A cluster that is well has none.",
          queries: [
            { expr: orZero(`sum by (instance) (increase(raft_leader_changes_total{${of}}[5m]))`), legend: `${by} changes` },
            { expr: orZero(`sum by (instance) (increase(raft_elections_total{${of}}[5m]))`), legend: `${by} elections` },
          ],
        },
        {
          title: "Entries committed and applied",
          about: "Per second.",
          unit: "ops",
          queries: [
            { expr: rate("raft_proposals_committed_total"), legend: `${by} committed` },
            { expr: rate("raft_proposals_applied_total"), legend: `${by} applied` },
          ],
        },
        latency("Commit", "From the proposal of an entry to its apply.", "raft_commit_duration_seconds"),
        latency("Read barrier", "What a linearizable read waits for.", "raft_read_index_duration_seconds"),
        {
          title: "Lag of followers",
          about: "Log entries a peer is behind, as the leader sees it.",
          queries: [{ expr: `raft_peer_match_lag{${of}}`, legend: `${by} → {{peer}}` }],
        },
        {
          title: "Round trip",
          about: "Between nodes.",
          unit: "s",
          queries: [{ expr: `raft_peer_rtt_seconds{${of}}`, legend: `${by} → {{peer}}` }],
        },
        {
          title: "Since a majority was heard",
          about: "The leader: since a quorum answered; a follower: since the leader was heard.",
          unit: "s",
          queries: [{ expr: `raft_quorum_contact_age_seconds{${of}}`, legend: by }],
        },
      ],
    },
    {
      title: "Log and disk",
      panels: [
        latency("Durable write (fsync)", "A group of entries on the disk.", "wal_fsync_duration_seconds"),
        {
          title: "Log",
          about: "Size on disk, and what is written.",
          unit: "bytes",
          queries: [{ expr: `wal_bytes{${of}}`, legend: `${by} size` }],
        },
        {
          title: "Disk free",
          about: "Where DATA_DIR is.",
          unit: "percentunit",
          queries: [{ expr: `disk_free_bytes{${of}} / disk_size_bytes{${of}}`, legend: by }],
        },
        {
          title: "Damage found",
          about: "Damaged records and files since the node started; zero.",
          queries: [
            { expr: orZero(`sum by (instance) (storage_corruptions_total{${of}})`), legend: `${by} records` },
            { expr: `raft_state_hash_mismatch_total{${of}}`, legend: `${by} states that differ` },
          ],
        },
      ],
    },
  ],
};

const locks: Board = {
  uid: "trivet-locks",
  title: "Trivet: locks",
  about: "Locks, sessions and deadlocks.",
  rows: [
    {
      title: "Locks",
      panels: [
        {
          title: "Held, waiting, sessions",
          about: "In the whole cluster; every node has the same.",
          queries: [
            { expr: `max(locks_held{${of}})`, legend: "locks" },
            { expr: `max(lock_waiters{${of}})`, legend: "waits" },
            { expr: `max(sessions_open{${of}})`, legend: "sessions" },
          ],
        },
        {
          title: "Grants",
          about: "Per second, by mode.",
          unit: "ops",
          queries: [{ expr: `max by (mode) (${rate("lock_grants_total")})`, legend: "{{mode}}" }],
        },
        latency(
          "Acquire",
          "Calls at this node that were granted, their wait included.",
          "lock_acquire_duration_seconds",
          ', outcome="granted"',
        ),
        latency("Release", "Calls at this node.", "lock_release_duration_seconds"),
        {
          title: "Outcomes of acquire",
          about: "Per second.",
          unit: "ops",
          queries: [{ expr: `sum by (outcome) (${rate("lock_acquire_duration_seconds_count")})`, legend: "{{outcome}}" }],
        },
        {
          title: "Deadlocks, leases that ran out, stale fences",
          about: "What somebody should look at.",
          queries: [
            { expr: `sum(increase(lock_deadlocks_total{${of}}[5m]))`, legend: "deadlocks" },
            { expr: `max(increase(lock_expired_total{${of}}[5m]))`, legend: "leases run out" },
            { expr: `sum(increase(stale_token_rejected_total{${of}}[5m]))`, legend: "stale fences refused" },
          ],
        },
        {
          title: "Fence",
          about: "The highest given out; it only grows.",
          queries: [{ expr: `max(lock_last_fence{${of}})`, legend: "fence" }],
        },
      ],
    },
  ],
};

const queues: Board = {
  uid: "trivet-queues",
  title: "Trivet: queues",
  about: "Messages, consumers and dead letters.",
  rows: [
    {
      title: "Queues",
      panels: [
        {
          title: "Messages",
          about: "Of the first 64 queues by name; every node measures the same.",
          queries: [
            { expr: `max(queue_messages{${of}})`, legend: "not settled" },
            { expr: `max(queue_ready{${of}})`, legend: "ready" },
            { expr: `max(queue_leased{${of}})`, legend: "with consumers" },
            { expr: `max(queue_delayed{${of}})`, legend: "delayed" },
          ],
        },
        {
          title: "Dead letters",
          about: "Messages that failed too often.",
          queries: [{ expr: `max(queue_dead_letters{${of}})`, legend: "dead" }],
        },
        {
          title: "Oldest message",
          about: "Age of the oldest one that is not settled.",
          unit: "s",
          queries: [{ expr: `max(queue_oldest_age_seconds{${of}})`, legend: "age" }],
        },
        {
          title: "Produced, handed out, settled",
          about: "Per second, through each node.",
          unit: "ops",
          queries: [
            { expr: `sum by (instance) (${rate("queue_produced_total")})`, legend: `${by} produced` },
            { expr: `sum by (instance) (${rate("queue_consumed_total")})`, legend: `${by} handed out` },
            { expr: `sum by (instance) (${rate("queue_settled_total")})`, legend: `${by} settled` },
          ],
        },
        {
          title: "Handed out again",
          about: "Per second: messages whose consumer failed or was too slow.",
          unit: "ops",
          queries: [{ expr: orZero(`sum(${rate("queue_consumed_total", ', delivery="again"')})`), legend: "again" }],
        },
        latency("Produce", "Until the messages are durable.", "queue_produce_duration_seconds"),
        {
          title: "Produces refused",
          about: "Per second, by reason.",
          unit: "ops",
          queries: [{ expr: orZero(`sum by (reason) (${rate("queue_produce_refused_total")})`), legend: "{{reason}}" }],
        },
        {
          title: "Accepted by queue",
          about: "Messages a queue has accepted so far.",
          queries: [{ expr: `max by (queue) (queue_accepted{${of}})`, legend: "{{queue}}" }],
        },
      ],
    },
  ],
};

const system: Board = {
  uid: "trivet-system",
  title: "Trivet: nodes and machines",
  about: "HTTP, who is refused, certificates and backups, processor, memory, disk and network.",
  rows: [
    {
      title: "Calls",
      panels: [
        {
          title: "Requests",
          about: "Per second.",
          unit: "ops",
          queries: [{ expr: `sum by (instance) (${rate("http_requests_total")})`, legend: by }],
        },
        {
          title: "Answers that are errors",
          about: "Per second, by status; 404, 409 and 423 are ordinary answers of locks and queues.",
          unit: "ops",
          queries: [{ expr: orZero(`sum by (status) (${rate("http_requests_total", ', status=~"[45].."')})`), legend: "{{status}}" }],
        },
        latency("Time to answer", "All routes, their waits included.", "http_request_duration_seconds"),
        {
          title: "Connections",
          about: "Open ones of the API port.",
          queries: [{ expr: `sum by (instance) (http_connections{${of}})`, legend: by }],
        },
      ],
    },
    security,
    {
      title: "Process",
      panels: [
        { title: "Processor", about: "Cores used.", queries: [{ expr: rate("process_cpu_seconds_total"), legend: by }] },
        {
          title: "Memory",
          about: "Resident, and the JavaScript heap.",
          unit: "bytes",
          queries: [
            { expr: `process_resident_memory_bytes{${of}}`, legend: `${by} resident` },
            { expr: `process_heap_bytes{${of}}`, legend: `${by} heap` },
          ],
        },
        {
          title: "Lag of the event loop",
          about: "99th percentile between two scrapes.",
          unit: "s",
          queries: [{ expr: `nodejs_eventloop_lag_p99_seconds{${of}}`, legend: by }],
        },
        {
          title: "Disk",
          about: "Bytes per second this process had read and written.",
          unit: "Bps",
          queries: [{ expr: rate("process_disk_bytes_total"), legend: `${by} {{direction}}` }],
        },
      ],
    },
    {
      title: "Machine",
      panels: [
        {
          title: "Processor busy",
          about: "Share of all processors.",
          unit: "percentunit",
          queries: [
            {
              expr: `1 - ${rate("system_cpu_seconds_total", ', mode="idle"')} / on (instance) sum by (instance) (${rate("system_cpu_seconds_total")})`,
              legend: by,
            },
          ],
        },
        { title: "Load", about: "Of one minute.", queries: [{ expr: `system_load1{${of}}`, legend: by }] },
        {
          title: "Memory free",
          about: "Of the machine.",
          unit: "percentunit",
          queries: [{ expr: `system_memory_free_bytes{${of}} / system_memory_total_bytes{${of}}`, legend: by }],
        },
        {
          title: "Network",
          about: "Bytes per second over all interfaces but loopback.",
          unit: "Bps",
          queries: [{ expr: rate("system_network_bytes_total"), legend: `${by} {{direction}}` }],
        },
      ],
    },
  ],
};

export const boards: readonly Board[] = [cluster, locks, queues, cache, system];

/** Path below docker/monitoring/grafana/boards, and content. */
export function boardFiles(): ReadonlyMap<string, string> {
  return new Map(boards.map((board) => [`${board.uid}.json`, `${JSON.stringify(boardJson(board), null, 2)}\n`]));
}

/** Every query of every board, as it stands there. */
export function boardQueries(): readonly { readonly board: string; readonly panel: string; readonly expr: string }[] {
  return boards.flatMap(({ uid, rows }) =>
    rows.flatMap(({ panels }) => panels.flatMap(({ title, queries }) => queries.map(({ expr }) => ({ board: uid, panel: title, expr })))),
  );
}
