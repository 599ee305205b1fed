import { startRedis } from "./redis.ts";
import type { Subject } from "./subject.ts";

/** The copies that @redis/client keeps, withdrawn by messages of one Redis (RESP 3, CLIENT TRACKING): what teams have who want reads without a network. */
export const nodeRedis: Subject = {
  name: "node-redis",
  services: ["cache"],
  queues: null,
  cache: { copies: true, shared: true },
  durability: "1 Redis, not replicated, fsync before the answer (appendfsync always)",
  transport: "resp",
  wire: "RESP 3 with the client-side cache of @redis/client, ping each second",
  failsOver: false,
  keepsLocks: false,
  collectable: false,
  http: false,
  start: (context) => startRedis(context, "node-redis"),
};
