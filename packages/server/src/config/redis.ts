import type { SettingName } from "@trivet/contract";
import type { RedisAck, RedisAddress } from "../adapters/redis/index.ts";

/** Where Redis is, as a person says it. */
export interface RedisConfig {
  readonly mode: "standalone" | "sentinel" | "cluster";
  readonly nodes: readonly RedisAddress[];
  readonly primaryName: string;
  readonly username: string;
  readonly password: string;
  readonly sentinelUsername: string;
  readonly sentinelPassword: string;
  readonly database: number;
  readonly tls: boolean;
  /** A PEM file of the authority that signed the server's certificate; null = those the system trusts. */
  readonly tlsCaFile: string | null;
  readonly ack: RedisAck;
  readonly prefix: string;
}
export interface SettingReader {
  text(name: SettingName): string | null;
  number(name: SettingName): number;
  flag(name: SettingName): boolean;
  isDefault(name: SettingName): boolean;
  bad(name: SettingName, expected: string): void;
}

const nothing: RedisAddress = { host: "localhost", port: 6_379 };

/** REDIS_URL says all in one; the other settings win over its parts, but two hosts are a contradiction. */
export function readRedis(values: SettingReader): RedisConfig {
  const url = parseRedisUrl(values, "REDIS_URL");
  const host = values.text("REDIS_HOST");
  if (url !== null && host !== null && url.hostname !== "" && url.hostname !== host) {
    values.bad("REDIS_HOST", `the host of REDIS_URL (${url.hostname}), or only one of the two`);
  }
  const port = values.isDefault("REDIS_PORT") ? Number(url?.port || 6_379) : values.number("REDIS_PORT");
  const listed = values.text("REDIS_NODES");
  const nodes = listed === null ? [{ host: host ?? (url?.hostname || nothing.host), port }] : parseNodes(values, listed);
  const said = values.text("REDIS_MODE");
  const mode = said === "sentinel" || said === "cluster" || said === "standalone" ? said : nodes.length > 1 ? "cluster" : "standalone";
  if (mode === "standalone" && nodes.length > 1) values.bad("REDIS_MODE", "sentinel or cluster, as REDIS_NODES names several servers");
  const database = values.isDefault("REDIS_DB") ? Number(url?.pathname.slice(1) || 0) : values.number("REDIS_DB");
  if (mode === "cluster" && database !== 0) values.bad("REDIS_DB", "0: a Redis Cluster has one database");
  return {
    mode,
    nodes,
    primaryName: values.text("REDIS_SENTINEL_PRIMARY") ?? "mymaster",
    username: values.text("REDIS_USERNAME") ?? decodeURIComponent(url?.username ?? ""),
    password: values.text("REDIS_PASSWORD") ?? decodeURIComponent(url?.password ?? ""),
    sentinelUsername: values.text("REDIS_SENTINEL_USERNAME") ?? "",
    sentinelPassword: values.text("REDIS_SENTINEL_PASSWORD") ?? "",
    database: Number.isSafeInteger(database) ? database : 0,
    tls: values.flag("REDIS_TLS") || url?.protocol === "rediss:",
    tlsCaFile: values.text("REDIS_TLS_CA_FILE"),
    ack: parseAck(values),
    prefix: values.text("REDIS_PREFIX") ?? "q",
  };
}

/** Null when the setting is not there, or is no URL of a Redis: that is told. */
export function parseRedisUrl(values: SettingReader, name: "REDIS_URL" | "CACHE_ORIGIN_REDIS_URL"): URL | null {
  const text = values.text(name);
  if (text === null) return null;
  if (URL.canParse(text)) {
    const url = new URL(text);
    if (url.protocol === "redis:" || url.protocol === "rediss:") return url;
  }
  values.bad(name, "redis://HOST:PORT/DATABASE, or rediss:// with TLS");
  return null;
}

function parseNodes(values: SettingReader, text: string): readonly RedisAddress[] {
  const nodes = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^(?:rediss?:\/\/)?(\[[^\]]+\]|[^:/\s]+)(?::(\d{1,5}))?$/.exec(part);
      const port = Number(match?.[2] ?? 6_379);
      if (match === null || port === 0 || port > 65_535) values.bad("REDIS_NODES", `HOST or HOST:PORT, separated by commas, not "${part}"`);
      return { host: (match?.[1] ?? nothing.host).replaceAll(/[[\]]/g, ""), port };
    });
  if (nodes.length === 0) values.bad("REDIS_NODES", "at least one HOST or HOST:PORT");
  return nodes.length === 0 ? [nothing] : nodes;
}

function parseAck(values: SettingReader): RedisAck {
  const text = values.text("REDIS_ACK") ?? "primary";
  if (text === "primary" || text === "aof") return text;
  const count = /^replicas:([1-9])$/.exec(text)?.[1];
  if (count === undefined) {
    values.bad("REDIS_ACK", "primary, aof or replicas:N with N from 1 to 9");
    return "primary";
  }
  return `replicas:${Number(count)}`;
}
