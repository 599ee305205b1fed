import {
  defaultHostConfig,
  MemoryApplyWorker,
  MemoryCrypto,
  MemoryFiles,
  MemoryOrderedStores,
  MemoryRandom,
  MemoryTelemetry,
  NodeHost,
  type CacheOrigins,
  type Spans,
  type QueueStorage,
  type Transport,
} from "@trivet/engine";
import { BrotliPacking, NodeClock } from "../../src/adapters/index.ts";
import { until } from "./harness.ts";

const alone: Transport = { dial: (_address, opened) => setImmediate(() => opened(null, "no network here")), onAccept: () => undefined };

/** One real node with its shards on memory stores, or with a storage outside. */
export async function startQueueNode(
  queueStorage?: QueueStorage,
  cacheOrigins: CacheOrigins = {},
  traced?: { readonly spans: Spans; readonly bound: (run: () => void) => () => void },
): Promise<NodeHost> {
  const clock = new NodeClock(undefined, traced?.bound ?? null);
  const config = {
    ...defaultHostConfig,
    node: "node1",
    url: "http://127.0.0.1:8001",
    peers: [],
    shards: 4,
    heartbeatMs: 10,
    electionMinMs: 40,
    electionMaxMs: 60,
  };
  const ports = {
    clock,
    crypto: new MemoryCrypto(),
    files: new MemoryFiles(clock),
    packing: new BrotliPacking(),
    random: new MemoryRandom(11),
    telemetry: new MemoryTelemetry(),
    transport: alone,
    applyWorker: new MemoryApplyWorker(clock, new MemoryOrderedStores(clock)),
    cacheOrigins,
    ...(queueStorage === undefined ? {} : { queueStorage }),
    ...(traced === undefined ? {} : { spans: traced.spans }),
  };
  const host = new NodeHost(ports, config, (error) => {
    throw error;
  });
  await new Promise<void>((resolve, reject) => host.start((error) => (error === null ? resolve() : reject(error))));
  await until(() => host.phase === "running" && (host.shards?.count ?? 0) === 4);
  await until(() => [1, 2, 3, 4].every((group) => host.shards?.replica(group as never)?.group.isLeader === true), "shards led");
  return host;
}
