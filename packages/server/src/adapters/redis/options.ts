import type { ConnectionOptions } from "node:tls";
import type { Durability } from "@trivet/engine";

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** What an acknowledged produce is to have reached; see `Durability`. */
export type RedisAck = Exclude<Durability, "quorum" | "memory">;

/** Where Redis is and how to speak to it. Nothing in it is ever logged but the addresses. */
export interface RedisOptions {
  readonly mode: "standalone" | "sentinel" | "cluster";
  /** The server; or the sentinels; or some nodes of the cluster. At least one. */
  readonly nodes: readonly RedisAddress[];
  /** With sentinels: what they call the primary. */
  readonly primaryName: string;
  /** "" = the default user. */
  readonly username: string;
  /** "" = none. */
  readonly password: string;
  readonly sentinelUsername: string;
  readonly sentinelPassword: string;
  /** Standalone and sentinel only: a cluster has one. */
  readonly database: number;
  /** Null = no TLS. */
  readonly tls: ConnectionOptions | null;
  readonly ack: RedisAck;
  /** Begins every key and channel: apart from others that use the same Redis. */
  readonly prefix: string;
  /** This node, in log lines. */
  readonly node: string;
}

/** As they were configured: what people look for in their settings. */
export function addressesOf({ nodes }: Pick<RedisOptions, "nodes">): string {
  return nodes.map(({ host, port }) => `${host}:${port}`).join(",");
}

export const defaultRedisOptions: Omit<RedisOptions, "nodes" | "node"> = {
  mode: "standalone",
  primaryName: "mymaster",
  username: "",
  password: "",
  sentinelUsername: "",
  sentinelPassword: "",
  database: 0,
  tls: null,
  ack: "primary",
  prefix: "q",
};
