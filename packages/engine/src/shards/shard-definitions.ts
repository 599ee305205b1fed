import { groupId } from "@trivet/core";
import type { ShardCommand } from "@trivet/wire";
import type { NodeHost } from "../hosts/node-host.ts";
import type { ShardGroup } from "./shard-group.ts";

/** Rule G1: the leaders of shards bring group 0's definitions of queues to their groups. */
export class ShardDefinitions {
  private readonly host: NodeHost;

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** The replica leads, and its state is the newest there is: group 0's news of the queues it knows are brought to it. */
  began(replica: ShardGroup): void {
    replica.machine.ask({ type: "definitions", group: groupId(replica.id) }, (reply) => {
      if (reply.type === "definitions") this.configure(replica, reply.known);
    });
  }

  /** A queue was defined, changed or deleted. */
  changed(replicas: Iterable<ShardGroup>): void {
    for (const replica of replicas) if (replica.group.isLeader) this.began(replica);
  }

  /** Commands named queues that the shard does not know well enough. */
  unknown(replica: ShardGroup, queues: readonly number[]): void {
    this.configure(
      replica,
      queues.map((queue) => [queue, -1] as const),
    );
  }

  private configure(replica: ShardGroup, known: readonly (readonly [queue: number, version: number])[]): void {
    const { machine } = this.host;
    if (machine === null || !replica.group.isLeader) return;
    const commands: ShardCommand[] = [];
    for (const [queue, version] of known) {
      const view = machine.queueByNumber(queue);
      if (view !== null && version !== 0 && view.definition.version > version) {
        commands.push({ type: "configure-queue", queue, definition: view.definition });
      } else if (view === null && version !== 0 && queue <= machine.lastQueue()) {
        commands.push({ type: "drop-queue", queue, version: Math.max(version, 0) });
      }
    }
    replica.propose(commands);
  }
}
