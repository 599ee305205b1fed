import type { Machine } from "../../src/measure/machine.ts";
import type { Missing, Result } from "../../src/results.ts";

export const machine: Machine = {
  cpu: "Test CPU",
  cores: 2,
  memory_bytes: 2 ** 33,
  os: "Debian GNU/Linux 12",
  kernel: "6.1.0",
  arch: "x64",
  node: "v20.20.2",
  filesystem: "ext4",
  fdatasync_p50_ms: 0.12,
};

/** A result with plausible figures; tests change what they are about. */
export function result(changes: Partial<Result>): Result {
  return {
    run: "2026-11-20T00:00:00.000Z",
    workload: "lock-uncontended",
    subject: "trivet",
    transport: "stream",
    durability: "fsync on a majority of 3",
    clients: 64,
    rounds: 5,
    quick: false,
    ops_per_s: 100_000,
    latency: "acquire, open loop at half the maximum",
    p50_ms: 0.5,
    p99_ms: 1,
    p999_ms: 2,
    errors: 0,
    cpu_s_per_op: 5e-6,
    cpu_s_per_op_by_role: {},
    written_bytes_per_op: 200,
    fsyncs_per_op: 0.05,
    rss_bytes: 1e8,
    rss_anon_bytes: 5e7,
    foreign_cpu: 0,
    stolen_cpu: 0,
    more: { pairs_per_s: 50_000, closed_p50_ms: 0.5 },
    samples: { ops_per_s: [90_000, 100_000, 110_000] },
    ...changes,
  };
}

export function missing(changes: Partial<Missing>): Missing {
  return { run: "2026-11-20T00:00:00.000Z", workload: "lock-uncontended", subject: "etcd", missing: "etcd is not installed", ...changes };
}

function cell(workload: string, subject: Result["subject"], clients: number, ops: number, changes: Partial<Result> = {}): Result {
  return result({ workload, subject, clients, ops_per_s: ops, ...changes });
}

function ordeal(step: string, leaderChanges: number): Record<string, number> {
  return {
    [`${step}_leader_changes`]: leaderChanges,
    [`${step}_heartbeats_missed`]: 0,
    [`${step}_longest_gap_ms`]: 80,
    [`${step}_longest_loop_delay_ms`]: 25,
    [`${step}_nodes_died`]: 0,
  };
}

/** Results of the queues in which every target is reached. */
export function goodQueues(): Result[] {
  const keyed = { messages_per_s: 15_000, keyed_messages_per_s: 14_000, keyed_ratio: 0.93, keyed_overtaken: 0 };
  const backlog = {
    messages: 1e7,
    produce_per_s: 20_000,
    drain_per_s: 18_000,
    produce_ratio: 0.9,
    drain_ratio: 0.8,
    rss_anon_peak_bytes: 4e8,
    restart_to_first_message_ms: 9000,
    lost: 0,
    nodes: 3,
    stored_bytes: 11e9,
    memory_max_bytes: 2 ** 30,
    oom_kills: 0,
    ...ordeal("fill", 0),
    // The leaders go back to where they are to be.
    ...ordeal("drain", 7),
  };
  const failover = { failovers: 100, lost: 0, overtaken: 0, redelivery_p99_ms: 800 };
  return [
    ...[64, 256].flatMap((clients) => [
      cell("queue-produce", "trivet", clients, 40_000),
      cell("queue-produce", "floor", clients, 75_000),
      cell("queue-produce", "nats", clients, 20_000),
      cell("queue-produce", "bullmq", clients, 15_000),
    ]),
    ...[64, 256].flatMap((clients) => [
      cell("queue-roundtrip", "trivet", clients, 15_000, { p99_ms: 20, more: keyed }),
      cell("queue-roundtrip", "bullmq", clients, 8000),
    ]),
    cell("queue-fanout", "trivet", 256, 6000, { more: { messages_per_s: 6000 } }),
    cell("queue-backlog", "trivet", 256, 20_000, { latency: "none", more: backlog, samples: { rss_anon_bytes: [1e8, 3e8, 2e8] } }),
    cell("queue-failover", "trivet", 16, 100, { p99_ms: 900, more: failover, samples: { failover_ms: [400, 900] } }),
    ...(["trivet", "trivet-redis-everysec", "trivet-redis-always"] as const).map((subject) =>
      cell("queue-http", subject, 64, 1500, {
        transport: "http",
        more: { messages_per_s: 1500, seconds: 300, produced: 450_000, lost: 0 },
      }),
    ),
  ];
}

/** Results in which every target is reached. */
export function good(): Result[] {
  const pair = (subject: Result["subject"], clients: number, ops: number): Result =>
    result({ subject, clients, ops_per_s: ops, more: { pairs_per_s: ops / 2, closed_p50_ms: subject === "floor" ? 0.35 : 0.45 } });
  return [
    pair("trivet", 1, 2000),
    pair("floor", 1, 2500),
    pair("trivet", 64, 100_000),
    pair("etcd", 64, 5000),
    pair("floor", 64, 120_000),
    pair("trivet", 256, 250_000),
    pair("etcd", 256, 7000),
    pair("floor", 256, 450_000),
    pair("redis", 256, 100_000),
    result({ transport: "http", clients: 1, more: { closed_p50_ms: 0.8, closed_p99_ms: 3, closed_release_p99_ms: 3 } }),
    result({ workload: "lock-contended", clients: 16, p50_ms: 0.6 }),
    result({
      workload: "lock-failover",
      clients: 16,
      p99_ms: 900,
      more: { failovers: 100, max_ms: 950 },
      samples: { failover_ms: [400, 900] },
    }),
    result({
      workload: "lock-soak",
      clients: 256,
      more: { seconds: 600, leader_changes: 0, longest_gap_ms: 40 },
      samples: { pairs_per_second: [1, 2, 3, 1] },
    }),
    result({
      workload: "lock-million",
      clients: 1000,
      latency: "none",
      more: { locks: 1e6, bytes_per_lock: 700, restart_to_grant_ms: 6000 },
    }),
  ];
}
