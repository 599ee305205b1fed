import { readFileSync } from "node:fs";
import type { CacheOrigins } from "@trivet/engine";
import { exitCodes } from "@trivet/contract";
import type { OriginTools, PostgresOrigin, RedisOrigin } from "./adapters/origins/index.ts";
import type { RedisOptions, RedisQueueStorage } from "./adapters/redis/index.ts";
import { ConfigError, type NodeConfig } from "./config/index.ts";

type RedisConfig = NonNullable<NodeConfig["queues"]["redis"]>;

function redisOptions({ tls, tlsCaFile, ...redis }: RedisConfig, node: string): RedisOptions {
  const ca = tlsCaFile === null ? {} : { ca: readCertificate(tlsCaFile) };
  return { ...redis, node, tls: tls || tlsCaFile !== null ? ca : null };
}

export interface Origins {
  readonly redis?: RedisOrigin;
  readonly postgres?: PostgresOrigin;
}

// The clients of Redis and PostgreSQL take a tenth of an idle node's memory: whoever has neither does not load them.
export async function queueStorageOf({ queues, nodeId }: NodeConfig, tools: OriginTools): Promise<RedisQueueStorage | null> {
  if (queues.redis === null) return null;
  const { RedisQueueStorage } = await import("./adapters/redis/index.ts");
  return new RedisQueueStorage(redisOptions(queues.redis, nodeId), tools);
}

export async function originsOf({ cache, nodeId }: NodeConfig, tools: OriginTools): Promise<Origins & CacheOrigins> {
  const { postgres, redis, timeoutMs } = cache.origins;
  if (postgres === null && redis === null) return {};
  const { PostgresOrigin, RedisOrigin } = await import("./adapters/origins/index.ts");
  return {
    ...(redis === null ? {} : { redis: new RedisOrigin(redisOptions(redis.server, nodeId), redis.keyPattern, timeoutMs, tools) }),
    ...(postgres === null ? {} : { postgres: new PostgresOrigin({ ...postgres, timeoutMs, node: nodeId }, tools.telemetry) }),
  };
}

export async function closeStorages({
  origins,
  redis,
}: {
  readonly origins: Origins;
  readonly redis: RedisQueueStorage | null;
}): Promise<void> {
  await Promise.all([redis?.close(), origins.redis?.close(), origins.postgres?.close()]);
}

function readCertificate(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(exitCodes.configuration, `REDIS_TLS_CA_FILE: ${path} cannot be read: ${(error as Error).message}`);
  }
}
