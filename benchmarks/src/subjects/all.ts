import { bullmq } from "./bullmq.ts";
import { etcd } from "./etcd.ts";
import { floor } from "./floor.ts";
import { cacheable, lruCache } from "./memory.ts";
import { nats, natsAlways } from "./nats.ts";
import { rabbitmq } from "./rabbitmq.ts";
import { redis } from "./redis.ts";
import { nodeRedis } from "./node-redis.ts";
import type { Subject, SubjectName } from "./subject.ts";
import { trivetRedisAlways, trivetRedisEverySecond } from "./trivet-redis.ts";
import { trivet } from "./trivet.ts";

/** Every subject by its name. */
export const subjects: Readonly<Record<SubjectName, Subject>> = {
  trivet,
  "trivet-redis-everysec": trivetRedisEverySecond,
  "trivet-redis-always": trivetRedisAlways,
  floor,
  etcd,
  redis,
  bullmq,
  nats,
  "nats-always": natsAlways,
  rabbitmq,
  "lru-cache": lruCache,
  cacheable,
  "node-redis": nodeRedis,
};
