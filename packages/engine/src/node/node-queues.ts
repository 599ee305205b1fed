import type { SystemState } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { RequestKey } from "@trivet/wire";
import type { QueueStorage } from "../ports/queue-storage.ts";
import { QueueService } from "../queues/queue-service.ts";
import { SystemDirectory } from "../queues/system-directory.ts";
import { EmbeddedAccess } from "../shards/embedded-access.ts";
import { EmbeddedStorage } from "../shards/embedded-storage.ts";
import type { ShardAccess } from "../shards/shard-access.ts";
import { StorageAccess } from "../shards/storage-access.ts";
import { ShardHosts } from "../shards/shard-hosts.ts";
import type { RecoveredLog } from "../shards/shard-past.ts";
import { askShardRequest } from "../shards/shard-requests.ts";
import { requestTimeoutMs } from "../base/limits.ts";
import type { NodeApi, RequestOutcome } from "./node-api.ts";
import type { NodeHost } from "./node-host.ts";

const definitionEvents: ReadonlySet<string> = new Set([
  "queue-defined",
  "queue-deleted",
  "namespace-defined",
  "namespace-deleted",
  // Their rules are brought to the shards as definitions are.
  "level-raised",
]);

/** What a node has to do with queues: its shards, where messages are, and the service that finds queues by name. */
export class NodeQueues {
  /** Null before this node is a member, and where there is no apply worker. */
  shards: ShardHosts | null = null;
  readonly embedded: EmbeddedStorage;
  /** In the shards, unless the ports say otherwise. */
  readonly storage: QueueStorage;
  readonly service: QueueService;
  /** What streams are given: the shards, or the storage outside. */
  readonly access: ShardAccess;
  private readonly host: NodeHost;
  private readonly directory: SystemDirectory;

  constructor(host: NodeHost, api: NodeApi, state: () => SystemState | null) {
    this.host = host;
    const { clock, queueStorage } = host.ports;
    this.embedded = new EmbeddedStorage(
      () => this.shards,
      (run) => clock.defer(run),
    );
    this.storage = queueStorage ?? this.embedded;
    this.directory = new SystemDirectory({ state, api, defaults: host.config.queueDefaults });
    this.access =
      queueStorage === undefined
        ? new EmbeddedAccess(this.embedded, () => this.shards)
        : new StorageAccess(queueStorage, clock, () => host.groupTime.now(), this.directory);
    this.service = new QueueService({ clock, storage: this.storage, directory: this.directory });
  }

  /** Group 0's state is open. */
  open(log: RecoveredLog, shards: number): void {
    const { applyWorker } = this.host.ports;
    if (applyWorker !== undefined) {
      this.shards = new ShardHosts(this.host, applyWorker, log, shards);
      this.shards.watchReady((queue, partition, group) => this.embedded.ready(queue, partition, group));
      this.host.sink.watch((event) => {
        if (event.type === "level-raised" && mutant("shard-rules-by-leadership-only")) return;
        if (definitionEvents.has(event.type)) this.shards?.definitions.changed(this.shards.all());
      });
      this.shards.start();
    }
    this.directory.stateReplaced();
  }

  /** Rule X3, of a command that a shard was given. */
  request(key: RequestKey, done: (outcome: RequestOutcome) => void): void {
    const { clock } = this.host.ports;
    const { shards } = this;
    if (shards === null) {
      const detail = "this node is not a member of a cluster yet";
      clock.defer(() => done({ type: "unavailable", code: "no_leader", retryAfterMs: 200, detail }));
    } else if (key.group > shards.count) clock.defer(() => done({ type: "invalid" }));
    else askShardRequest(shards, key, done);
  }

  /** The same, of a storage that has ids of its own. */
  requestOutside(requestId: string, done: (outcome: RequestOutcome) => void): void {
    const { clock, queueStorage } = this.host.ports;
    if (queueStorage?.request === undefined) clock.defer(() => done({ type: "invalid" }));
    else queueStorage.request(requestId, requestTimeoutMs, done);
  }

  /** Another state took the place of group 0's. */
  stateReplaced(): void {
    this.directory.stateReplaced();
    this.shards?.definitions.changed(this.shards.all());
  }
}
