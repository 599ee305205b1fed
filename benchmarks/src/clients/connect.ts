import type { LockClient } from "../driver/lock-client.ts";
import { FloorClient } from "../floor/client.ts";
import type { ClientTarget } from "./protocol.ts";
import { EtcdClient } from "./etcd-client.ts";
import { HttpClient } from "./http-client.ts";
import { TrivetClient } from "./trivet-client.ts";
import { RedisClient } from "./redis-client.ts";

/** The client of a subject, connected. */
export function connectClient(target: ClientTarget): Promise<LockClient> {
  const [url] = target.urls;
  if (url === undefined) throw new Error("a client needs an address");
  switch (target.kind) {
    case "floor":
      return FloorClient.connect(url);
    case "redis":
      return RedisClient.connect(url);
    case "etcd":
      return Promise.resolve(new EtcdClient(target.urls));
    case "trivet":
      return TrivetClient.connect(target.urls);
    case "trivet-http":
      return Promise.resolve(new HttpClient(url));
    case "bullmq":
    case "nats":
    case "rabbitmq":
    case "lru-cache":
    case "cacheable":
    case "node-redis":
      throw new Error(`${target.kind} is no lock service`);
  }
}
