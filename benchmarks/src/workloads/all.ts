import { cacheHit } from "./cache-hit.ts";
import { cacheMixedLoad } from "./cache-mixed.ts";
import { cacheReadRemote } from "./cache-read-remote.ts";
import { cacheStale } from "./cache-stale.ts";
import { cacheWrite } from "./cache-write.ts";
import { lockContended } from "./lock-contended.ts";
import { lockFailover } from "./lock-failover.ts";
import { lockMillion } from "./lock-million.ts";
import { lockSoak } from "./lock-soak.ts";
import { lockUncontended } from "./lock-uncontended.ts";
import { queueBacklog } from "./queue-backlog.ts";
import { queueFailover } from "./queue-failover.ts";
import { queueFanout } from "./queue-fanout.ts";
import { queueHttp } from "./queue-http.ts";
import { queueProduce } from "./queue-produce.ts";
import { queueRoundtrip } from "./queue-roundtrip.ts";
import type { Workload } from "./workload.ts";

/** In the order in which they run. */
export const workloads: readonly Workload[] = [
  lockUncontended,
  lockContended,
  lockFailover,
  lockSoak,
  lockMillion,
  queueProduce,
  queueRoundtrip,
  queueFanout,
  queueBacklog,
  queueFailover,
  queueHttp,
  cacheHit,
  cacheReadRemote,
  cacheWrite,
  cacheMixedLoad,
  cacheStale,
];
