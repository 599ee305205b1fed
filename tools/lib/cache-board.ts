import type { Board } from "./board-json.ts";
import { by, latency, of, orZero, rate } from "./board-queries.ts";

export const cache: Board = {
  uid: "trivet-cache",
  title: "Trivet: cache",
  about: "Copies of cached values, hits and withdrawals.",
  rows: [
    {
      title: "Cache",
      panels: [
        {
          title: "Hits",
          about: "Share of the reads that a node's own copy answered, since it started.",
          unit: "percentunit",
          queries: [{ expr: `cache_hit_ratio{${of}}`, legend: by }],
        },
        {
          title: "Reads and writes",
          about: "Per second, through each node.",
          unit: "ops",
          queries: [
            { expr: rate("cache_hits_total"), legend: `${by} hits` },
            { expr: rate("cache_misses_total"), legend: `${by} misses` },
            { expr: rate("cache_writes_total"), legend: `${by} writes` },
          ],
        },
        {
          title: "Copies by state",
          about: "M and E: the only one; S: beside others.",
          queries: [{ expr: `sum by (instance, state) (cache_entries{${of}})`, legend: `${by} {{state}}` }],
        },
        {
          title: "Room taken",
          about: "Copies and bytes of what a node may keep (CACHE_CAPACITY, CACHE_MAX_BYTES).",
          unit: "percentunit",
          queries: [
            { expr: `sum by (instance) (cache_entries{${of}}) / on (instance) cache_max_entries{${of}}`, legend: `${by} copies` },
            { expr: `cache_bytes{${of}} / cache_max_bytes{${of}}`, legend: `${by} bytes` },
          ],
        },
        {
          title: "Withdrawals",
          about: "Per second: copies that homes took back, and that nodes gave up.",
          unit: "ops",
          queries: [{ expr: rate("cache_invalidations_total"), legend: `${by} {{direction}}` }],
        },
        {
          title: "Evictions, and leases that lapsed",
          about: "In five minutes. A node whose leases lapse was cut off or too busy; writes have waited for it.",
          queries: [
            { expr: `increase(cache_evictions_total{${of}}[5m])`, legend: `${by} evictions` },
            { expr: `increase(cache_lease_lapses_total{${of}}[5m])`, legend: `${by} lapses` },
          ],
        },
        latency("Write", "Calls at this node, until no other copy can be read.", "cache_write_duration_seconds", ', outcome="done"'),
        latency(
          "Read of the stored value",
          "Calls at this node that had to ask the key's home.",
          "cache_read_duration_seconds",
          ', source="database"',
        ),
        {
          title: "Writes refused",
          about: "Per second, by what came of them.",
          unit: "ops",
          queries: [
            {
              expr: orZero(`sum by (outcome) (${rate("cache_write_duration_seconds_count", ', outcome!="done"')})`),
              legend: "{{outcome}}",
            },
          ],
        },
      ],
    },
    {
      title: "Written behind",
      panels: [
        {
          title: "Writes that wait",
          about: "Keys whose latest write their origin does not have, at the nodes that lead their shards.",
          queries: [{ expr: `cache_behind_keys{${of}}`, legend: by }],
        },
        {
          title: "Bytes of them",
          about: "Beyond 256 MiB of a namespace in a shard, and beyond its max_behind keys, writes are refused.",
          unit: "bytes",
          queries: [{ expr: `cache_behind_bytes{${of}}`, legend: by }],
        },
        {
          title: "The longest has waited",
          about: "It grows while an origin is away, or refuses a write; then it falls as fast as the origin takes them.",
          unit: "s",
          queries: [{ expr: `cache_behind_seconds{${of}}`, legend: by }],
        },
        {
          title: "Brought to origins",
          about: "Per second, by what came of it. Refused and unreachable ones are tried again.",
          unit: "ops",
          queries: [{ expr: orZero(`sum by (origin, outcome) (${rate("cache_behind_writes_total")})`), legend: "{{origin}} {{outcome}}" }],
        },
      ],
    },
  ],
};
