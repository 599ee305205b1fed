import type { QueueClient } from "../driver/queue-client.ts";
import { FloorQueueClient } from "../floor/queue-client.ts";
import { BullQueueClient } from "./bullmq-queue.ts";
import { NatsQueueClient } from "./nats-queue.ts";
import type { ClientTarget } from "./protocol.ts";
import { RabbitQueueClient } from "./rabbitmq-queue.ts";
import { RedisQueueClient } from "./redis-queue.ts";
import { TrivetHttpQueueClient } from "./trivet-queue-http.ts";
import { TrivetQueueClient } from "./trivet-queue.ts";

/** The queue client of a subject, connected. */
export function connectQueue(target: ClientTarget): Promise<QueueClient> {
  const [url] = target.urls;
  if (url === undefined) throw new Error("a client needs an address");
  switch (target.kind) {
    case "floor":
      return FloorQueueClient.connect(url);
    case "redis":
      return RedisQueueClient.connect(url);
    case "bullmq":
      return Promise.resolve(new BullQueueClient(url));
    case "nats":
      return NatsQueueClient.connect(target.urls);
    case "rabbitmq":
      return RabbitQueueClient.connect(target.urls);
    case "trivet":
      return TrivetQueueClient.connect(target.urls);
    case "trivet-http":
      return Promise.resolve(new TrivetHttpQueueClient(target.urls));
    case "etcd":
    case "lru-cache":
    case "cacheable":
    case "node-redis":
      throw new Error(`${target.kind} is no queue`);
  }
}
