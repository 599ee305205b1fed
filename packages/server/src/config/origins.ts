import { parseRedisUrl, type RedisConfig, type SettingReader } from "./redis.ts";

/** What namespaces with an origin are loaded from, and written to. Null = not on this node. */
export interface OriginsConfig {
  readonly timeoutMs: number;
  readonly redis: { readonly server: RedisConfig; readonly keyPattern: string } | null;
  readonly postgres: { readonly url: string; readonly query: string; readonly write: string; readonly stamp: string } | null;
}

/** `shared`: the Redis that REDIS_… name, null when they name none; an origin is that one where it has no URL of its own. */
export function readOrigins(values: SettingReader, shared: RedisConfig | null): OriginsConfig {
  const server = redisOf(values, shared);
  const keyPattern = values.text("CACHE_ORIGIN_REDIS_KEY") ?? "{namespace}:{key}";
  if (!keyPattern.includes("{key}")) values.bad("CACHE_ORIGIN_REDIS_KEY", "a text with {key} in it: else all keys would have one value");
  return {
    timeoutMs: values.number("CACHE_ORIGIN_TIMEOUT_MS"),
    redis: server === null ? null : { server, keyPattern },
    postgres: postgresOf(values),
  };
}

function redisOf(values: SettingReader, shared: RedisConfig | null): RedisConfig | null {
  const url = parseRedisUrl(values, "CACHE_ORIGIN_REDIS_URL");
  if (url === null) return shared;
  const database = Number(url.pathname.slice(1) || 0);
  if (!Number.isSafeInteger(database)) values.bad("CACHE_ORIGIN_REDIS_URL", "redis://HOST:PORT/DATABASE, with a number as the database");
  return {
    mode: "standalone",
    nodes: [{ host: url.hostname.replaceAll(/[[\]]/g, ""), port: Number(url.port || 6_379) }],
    primaryName: "mymaster",
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    sentinelUsername: "",
    sentinelPassword: "",
    database,
    tls: url.protocol === "rediss:",
    tlsCaFile: url.protocol === "rediss:" ? values.text("REDIS_TLS_CA_FILE") : null,
    ack: "primary",
    prefix: "",
  };
}

function postgresOf(values: SettingReader): OriginsConfig["postgres"] {
  const url = values.text("CACHE_ORIGIN_POSTGRES_URL");
  const query = values.text("CACHE_ORIGIN_POSTGRES_QUERY") ?? "";
  if (!/\$1(?!\d)/.test(query))
    values.bad("CACHE_ORIGIN_POSTGRES_QUERY", "a query with $1 for the key, such as SELECT body FROM pages WHERE path = $1");
  const write = values.text("CACHE_ORIGIN_POSTGRES_WRITE") ?? "";
  // Without the stamp a late write of a former leader would replace a newer one.
  if (![1, 3, 4].every((number) => new RegExp(`\\$${number}(?!\\d)`).test(write)) || /\$(?:[05-9]|[1-9]\d)/.test(write)) {
    const expected =
      "a statement with $1 for the key, $3 for the value and $4 for the stamp, which leaves a row with the same or a higher stamp alone";
    values.bad("CACHE_ORIGIN_POSTGRES_WRITE", `${expected} ($2 is the namespace)`);
  }
  // As it is set when nobody says how it fits the table of the statement that is set when nobody says how.
  const isUnsaid = values.isDefault("CACHE_ORIGIN_POSTGRES_STAMP") && !values.isDefault("CACHE_ORIGIN_POSTGRES_WRITE");
  const stamp = isUnsaid ? "" : (values.text("CACHE_ORIGIN_POSTGRES_STAMP") ?? "");
  if (stamp !== "" && (!/\$1(?!\d)/.test(stamp) || /\$(?:[03-9]|[12]\d)/.test(stamp)))
    values.bad("CACHE_ORIGIN_POSTGRES_STAMP", "a query with $1 for the key ($2 is the namespace), which tells the stamp of its row");
  if (url === null) return null;
  if (!URL.canParse(url) || !/^postgres(?:ql)?:$/.test(new URL(url).protocol)) {
    values.bad("CACHE_ORIGIN_POSTGRES_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE");
    return null;
  }
  return { url, query, write, stamp };
}
