import type { CacheOrigins } from "./cache-origin.ts";
import type { Clock } from "./clock.ts";
import type { Crypto } from "./crypto.ts";
import type { FileStore } from "./file.ts";
import type { QueueStorage } from "./queue-storage.ts";
import type { Random } from "./random.ts";
import type { Spans } from "./spans.ts";
import type { Telemetry } from "./telemetry.ts";
import type { ApplyWorker } from "../shards/worker-protocol.ts";
import type { Transport } from "./transport.ts";
import type { ValuePacking } from "./value-packing.ts";

export * from "./cache-origin.ts";
export * from "./clock.ts";
export * from "./crypto.ts";
export * from "./file.ts";
export * from "./ordered-store.ts";
export * from "./queue-storage.ts";
export * from "./random.ts";
export * from "./spans.ts";
export * from "./telemetry.ts";
export * from "./transport.ts";
export * from "./value-packing.ts";

/** Everything a node host needs from the outside. */
export interface Ports {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly files: FileStore;
  readonly packing: ValuePacking;
  readonly random: Random;
  /** Left out = nothing is traced. */
  readonly spans?: Spans;
  readonly telemetry: Telemetry;
  readonly transport: Transport;
  /** Where the shards are applied; left out = this node takes part in none. */
  readonly applyWorker?: ApplyWorker;
  /** Where the messages of queues are kept instead of in the shards. */
  readonly queueStorage?: QueueStorage;
  /** What namespaces with an origin are loaded from; one that is left out is not configured on this node. */
  readonly cacheOrigins?: CacheOrigins;
}
