import { groupId, type NamespaceView } from "@trivet/core";
import { featureLevels, type NamespaceDefinition, newestRules, type ShardCommand } from "@trivet/wire";
import type { NodeHost } from "../node/node-host.ts";
import type { ShardGroup } from "./shard-group.ts";

type Known = readonly (readonly [number: number, version: number])[];

/** Rule G1: the leaders of shards bring group 0's definitions of queues and of cache namespaces to their groups, and rules once its level says that all know them. */
export class ShardDefinitions {
  private readonly host: NodeHost;

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** The replica leads, and its state is the newest there is: group 0's news of what it knows are brought to it. */
  began(replica: ShardGroup): void {
    replica.machine.ask({ type: "definitions", group: groupId(replica.id) }, (reply) => {
      if (reply.type !== "definitions") return;
      if (reply.namespaces.length > 0) replica.home.wake();
      // One that has an origin again.
      replica.home.behind.changed();
      this.configure(replica, reply.known, reply.namespaces, reply.rules);
    });
  }

  /** A queue or a namespace was defined, changed or deleted, or the level was raised. */
  changed(replicas: Iterable<ShardGroup>): void {
    for (const replica of replicas) if (replica.group.isLeader) this.began(replica);
  }

  /** Commands named queues or namespaces that the shard does not know well enough. */
  unknown(replica: ShardGroup, queues: readonly number[], namespaces: readonly number[]): void {
    this.configure(replica, notKnown(queues), notKnown(namespaces));
  }

  private configure(replica: ShardGroup, known: Known, namespaces: Known, rules = newestRules): void {
    const { machine } = this.host;
    if (machine === null || !replica.group.isLeader) return;
    const commands: ShardCommand[] = [];
    // Below the level they are not proposed at all: the rest of what is would be held back with them.
    if (rules < newestRules && this.host.features.admits(featureLevels.begun)) commands.push({ type: "adopt-rules", rules: newestRules });
    for (const [queue, version] of known) {
      const view = machine.queueByNumber(queue);
      if (view !== null && version !== 0 && view.definition.version > version) {
        commands.push({ type: "configure-queue", queue, definition: view.definition });
      } else if (view === null && version !== 0 && queue <= machine.lastQueue()) {
        commands.push({ type: "drop-queue", queue, version: Math.max(version, 0) });
      }
    }
    for (const [namespace, version] of namespaces) {
      const view = machine.namespaceByNumber(namespace);
      if (view !== null && version !== 0 && view.version > version) {
        commands.push({ type: "configure-namespace", namespace, definition: definitionOf(view) });
      } else if (view === null && version !== 0 && namespace <= machine.lastNamespace()) {
        commands.push({ type: "drop-namespace", namespace, version: Math.max(version, 0) });
      }
    }
    replica.propose(commands);
  }
}

function notKnown(numbers: readonly number[]): Known {
  return numbers.map((number) => [number, -1] as const);
}

/** What shards know of a namespace: how nodes keep its copies is none of their business. */
function definitionOf({ name, settings, version }: NamespaceView): NamespaceDefinition {
  const { maxBehind, maxBytes, maxEntries, mode, negativeTtlMs, revalidateMs, staleMs, ttlMs, write } = settings;
  return { name, version, mode, staleMs, ttlMs, negativeTtlMs, maxEntries, maxBytes, write, maxBehind, revalidateMs };
}
