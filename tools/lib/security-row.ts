import type { Board } from "./board-json.ts";
import { by, of, orZero, rate } from "./board-queries.ts";

/** Who was refused and why, and what an operator has to see to in time. */
export const security: Board["rows"][number] = {
  title: "Security and upkeep",
  panels: [
    {
      title: "Callers refused",
      about: "Per second, by why: wrong or missing credentials, what a role does not reach, callers over their rate.",
      unit: "ops",
      queries: [{ expr: orZero(`sum by (instance, reason) (${rate("access_refused_total")})`), legend: `${by} {{reason}}` }],
    },
    {
      title: "Peers and TLS handshakes refused",
      about: "Per second, by why. A node with a wrong key comes back every second.",
      unit: "ops",
      queries: [
        { expr: orZero(`sum by (instance, code) (${rate("peer_refusals_total")})`), legend: `${by} peers {{code}}` },
        { expr: orZero(`sum by (instance, reason) (${rate("tls_refused_total")})`), legend: `${by} TLS {{reason}}` },
      ],
    },
    {
      title: "Connections and requests refused for their form",
      about: "Per second, by why: too slow, too large, too many, no HTTP.",
      unit: "ops",
      queries: [{ expr: orZero(`sum by (instance, reason) (${rate("http_rejected_connections_total")})`), legend: `${by} {{reason}}` }],
    },
    {
      title: "Certificates end in",
      about: "Nothing where there are none (TLS_MODE=off).",
      unit: "s",
      queries: [{ expr: orZero(`(tls_certificate_not_after_seconds{${of}} > 0) - time()`), legend: by }],
    },
    {
      title: "Audit log",
      about:
        "Records written in five minutes; records that are not anchored in the cluster, for a second at a time; failures since the node started: one is too many.",
      queries: [
        { expr: `increase(audit_records{${of}}[5m])`, legend: `${by} records` },
        { expr: `audit_unanchored_records{${of}}`, legend: `${by} not anchored` },
        { expr: `audit_failures_total{${of}}`, legend: `${by} failures` },
        { expr: orZero(`audit_anchor_failures_total{${of}, reason="mismatch"}`), legend: `${by} not what was anchored` },
      ],
    },
    {
      title: "Since the last backup",
      about: "By what nodes tell since they were started; nothing where they know of none.",
      unit: "s",
      queries: [{ expr: orZero(`time() - (max(backup_last_timestamp_seconds{${of}}) > 0)`), legend: "backup" }],
    },
    {
      title: "Since the last snapshot",
      about: "Of group 0, on each node; they come as the log grows, so a cluster at rest has old ones.",
      unit: "s",
      queries: [{ expr: orZero(`snapshot_age_seconds{${of}, group="0"}`), legend: by }],
    },
    {
      title: "Clock off by",
      about: "Each node's wall clock, against the time that the leader stamps.",
      unit: "s",
      queries: [{ expr: `abs(clock_offset_seconds{${of}})`, legend: by }],
    },
  ],
};
