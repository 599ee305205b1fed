import { startRedis } from "./redis.ts";
import type { Subject } from "./subject.ts";

/** BullMQ on one Redis that is as durable as one Redis can be: what teams replace when they come to Trivet. */
export const bullmq: Subject = {
  name: "bullmq",
  services: ["queues"],
  queues: { consumes: true, keys: false, groups: false, aliases: false },
  cache: null,
  durability: "1 Redis, not replicated, fsync before the answer (appendfsync always)",
  transport: "resp",
  wire: "queue.add and a Worker, over ioredis",
  failsOver: false,
  keepsLocks: false,
  collectable: false,
  http: false,
  start: (context) => startRedis(context, "bullmq"),
};
