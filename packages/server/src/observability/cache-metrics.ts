import type { CacheApi, CacheStatistics } from "@trivet/engine";
import type { Metrics } from "./metrics.ts";

/** The one definition (W-66): a hit is a read that this node's own copy answered, whatever path it came by. */
export function hitRatio({ hits, misses }: Pick<CacheStatistics, "hits" | "misses">): number {
  const reads = hits + misses;
  return reads === 0 ? 0 : hits / reads;
}

/** Changes of copies, all together. */
export const transitionCount = ({ transitions }: Pick<CacheStatistics, "transitions">): number =>
  Object.values(transitions).reduce((sum, count) => sum + count, 0);

const stable = ["M", "E", "S", "I"] as const;
/** The states that S0 and S4 know, and those in between where there are any. */
export const stateCounts = ({ states }: Pick<CacheStatistics, "states">): Readonly<Record<string, number>> => ({
  ...Object.fromEntries(stable.map((state) => [state, 0])),
  ...states,
});

function setCacheMetrics(metrics: Metrics, statistics: CacheStatistics): void {
  metrics.total("cache_hits_total", statistics.hits);
  metrics.total("cache_misses_total", statistics.misses);
  metrics.total("cache_writes_total", statistics.writes);
  metrics.total("cache_evictions_total", statistics.evictions);
  metrics.total("cache_lease_lapses_total", statistics.lapses);
  metrics.total("cache_invalidations_total", statistics.invalidationsSent, { direction: "sent" });
  metrics.total("cache_invalidations_total", statistics.invalidationsReceived, { direction: "received" });
  for (const [change, count] of Object.entries(statistics.transitions)) {
    const [from = "", to = ""] = change.split(">");
    metrics.total("cache_transitions_total", count, { from, to });
  }
  metrics.set("cache_hit_ratio", hitRatio(statistics));
  for (const [state, count] of Object.entries(stateCounts(statistics))) metrics.set("cache_entries", count, { state });
  metrics.set("cache_max_entries", statistics.maxEntries);
  metrics.set("cache_bytes", statistics.bytes);
  metrics.set("cache_max_bytes", statistics.maxBytes);
  metrics.set("cache_behind_keys", statistics.behind.keys);
  metrics.set("cache_behind_bytes", statistics.behind.bytes);
  metrics.set("cache_behind_seconds", statistics.behind.forMs / 1_000);
}

/** What the cache of this node has counted, whenever somebody scrapes. */
export function collectCacheMetrics(metrics: Metrics, cache: CacheApi): void {
  metrics.onCollect(() => setCacheMetrics(metrics, cache.statistics()));
}

const nothing = {
  hits: 0,
  misses: 0,
  writes: 0,
  evictions: 0,
  invalidationsSent: 0,
  invalidationsReceived: 0,
  states: {},
  transitions: {},
  entries: 0,
} as const;

/** What `GET /metrics` says of the cache: S0's three keys, and S4's numbers. Zeros on a node that has none. */
export function cacheJson(given: CacheStatistics | null, capacity: number): { readonly s0: object; readonly s4: object } {
  const { hits, misses, writes, evictions, invalidationsSent, invalidationsReceived, states, transitions, entries } = given ?? nothing;
  return {
    s0: {
      cache_hits: hits,
      cache_misses: misses,
      cache_stats: { size: entries, maxsize: given?.maxEntries ?? capacity, states: stateCounts({ states }) },
    },
    s4: {
      hits,
      misses,
      hit_ratio: hitRatio({ hits, misses }),
      writes,
      evictions,
      invalidations_sent: invalidationsSent,
      invalidations_received: invalidationsReceived,
      state_transitions: transitionCount({ transitions }),
    },
  };
}
