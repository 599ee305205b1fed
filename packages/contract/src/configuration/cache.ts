import { define } from "./definition.ts";

/** Copies of cached values, and the outside origins of namespaces. */
export const cacheSettings = define({
  CACHE_CAPACITY: {
    kind: "integer",
    default: 10_000,
    min: 1,
    max: 100_000_000,
    use: "cache",
    about: "Copies of cached values that this node keeps.",
    example: "128",
    aliases: [
      { name: "CACHE_MAX_SIZE", source: "S3" },
      { name: "CACHE_SIZE", source: "kin" },
    ],
  },
  CACHE_MAX_BYTES: {
    kind: "bytes",
    default: 67_108_864,
    min: 1_024,
    max: 1_099_511_627_776,
    use: "cache",
    about: "Bytes of these copies.",
    example: "67108864",
  },
  CACHE_POLICY: {
    kind: "choice",
    default: "wtinylfu",
    use: "cache",
    about: "Which copies go first.",
    example: "lru",
    choices: ["wtinylfu", "lru", "lfu", "s3fifo", "sieve", "arc"],
    synonyms: { tinylfu: "wtinylfu", "w-tinylfu": "wtinylfu" },
    aliases: [{ name: "CACHE_REPLACEMENT_POLICY", source: "kin" }],
  },
  CACHE_ORIGIN_REDIS_URL: {
    kind: "url",
    default: null,
    secret: true,
    use: "cache",
    about: "Redis that namespaces with origin redis are loaded from and written to; the one of REDIS_… when not set.",
    example: "redis://redis:6379/0",
  },
  CACHE_ORIGIN_REDIS_KEY: {
    kind: "string",
    default: "{namespace}:{key}",
    use: "cache",
    about:
      "What a key is called in that Redis; its stamp is beside it, as …:trivet-stamp. Keys of two namespaces must not come to one name.",
    example: "{key}",
  },
  CACHE_ORIGIN_POSTGRES_URL: {
    kind: "url",
    default: null,
    secret: true,
    use: "cache",
    about: "PostgreSQL that namespaces with origin postgres are loaded from and written to.",
    example: "postgresql://trivet@db:5432/shop",
  },
  CACHE_ORIGIN_POSTGRES_QUERY: {
    kind: "string",
    default: "SELECT value FROM trivet_cache WHERE namespace = $2 AND key = $1",
    use: "cache",
    about: "How: $1 is the key, $2 the namespace; the first column of the first row is the value.",
    example: "SELECT body FROM pages WHERE path = $1",
  },
  CACHE_ORIGIN_POSTGRES_WRITE: {
    kind: "string",
    default:
      "INSERT INTO trivet_cache (namespace, key, value, stamp) VALUES ($2, $1, $3, $4) ON CONFLICT (namespace, key) DO UPDATE SET value = EXCLUDED.value, stamp = EXCLUDED.stamp WHERE trivet_cache.stamp IS NULL OR trivet_cache.stamp < EXCLUDED.stamp",
    use: "cache",
    about:
      "How namespaces with write behind are written: $1 is the key, $2 the namespace, $3 the value (NULL = deleted), $4 the stamp, 32 digits that rise with every write. It must leave a row with the same or a higher stamp alone.",
    example:
      "INSERT INTO pages (path, body, stamp) VALUES ($1, convert_from($3, 'UTF8'), $4) ON CONFLICT (path) DO UPDATE SET body = EXCLUDED.body, stamp = EXCLUDED.stamp WHERE pages.stamp < EXCLUDED.stamp",
  },
  CACHE_ORIGIN_POSTGRES_STAMP: {
    kind: "string",
    default: "SELECT stamp FROM trivet_cache WHERE namespace = $2 AND key = $1",
    use: "cache",
    about:
      "What tells the stamp of a row when a write has changed none: $1 is the key, $2 the namespace. Set it beside CACHE_ORIGIN_POSTGRES_WRITE: where only that is set, a row that was not written is taken for newer.",
    example: "SELECT stamp FROM pages WHERE path = $1",
  },
  CACHE_ORIGIN_TIMEOUT_MS: {
    kind: "milliseconds",
    default: 2_000,
    min: 10,
    max: 60_000,
    use: "cache",
    about: "An origin is not waited for longer than this.",
    example: "500",
  },
});
