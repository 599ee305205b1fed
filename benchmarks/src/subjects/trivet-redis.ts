import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launchRedis, type AppendFsync } from "./redis.ts";
import type { RunningSubject, Subject, SubjectContext } from "./subject.ts";
import { startTrivet, trivet } from "./trivet.ts";

/** Three nodes that keep their queues in one server: told where it is, all else as it comes (`REDIS_ACK=primary`). */
async function start(context: SubjectContext, appendFsync: AppendFsync): Promise<RunningSubject> {
  const directory = join(context.directory, "redis");
  mkdirSync(directory);
  const redis = await launchRedis({ ...context, directory }, appendFsync);
  const cluster = await startTrivet(context, { REDIS_HOST: "127.0.0.1", REDIS_PORT: String(redis.port) });
  return {
    nodes: cluster.nodes,
    leadership: () => cluster.leadership(),
    healthy: async (timeoutMs) => {
      await redis.healthy(timeoutMs);
      await cluster.healthy(timeoutMs);
    },
    // What a message costs is what nodes and server do for it.
    participants: async () => [...(await cluster.participants()), { role: "node", pid: redis.node.pid }],
    // Those of the nodes' log have nothing to do with messages, and Redis 7 counts none.
    fsyncs: () => Promise.resolve(null),
    target: (transport) => cluster.target(transport),
    queueLeader: () => Promise.resolve(null),
    stop: async () => {
      await cluster.stop();
      await redis.stop();
    },
  };
}

function onRedis(name: Subject["name"], appendFsync: AppendFsync, durability: string): Subject {
  return {
    ...trivet,
    name,
    services: ["queues"],
    onlyIn: ["queue-http"],
    cache: null,
    durability,
    wire: "plain HTTP to three nodes, their queues in one Redis over RESP",
    failsOver: false,
    keepsLocks: false,
    collectable: false,
    start: (context) => start(context, appendFsync),
  };
}

/** As a Redis comes when its append-only file is switched on. */
export const trivetRedisEverySecond: Subject = onRedis(
  "trivet-redis-everysec",
  "everysec",
  "queues in 1 Redis, not replicated, its file fsynced every second (appendfsync everysec): a crash of the machine may lose a second or two of what was acknowledged",
);

/** As durable as one Redis can be. */
export const trivetRedisAlways: Subject = onRedis(
  "trivet-redis-always",
  "always",
  "queues in 1 Redis, not replicated, fsync before the answer (appendfsync always)",
);
