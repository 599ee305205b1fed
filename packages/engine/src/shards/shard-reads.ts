import type { GroupId } from "@trivet/core";
import type { ShardHosts } from "./shard-hosts.ts";
import type { WorkerReply, WorkerRequest } from "./worker-protocol.ts";

/** Asks the state of a replica here after a round to its leader (rule L4). Null = no replica, or no leader confirmed in time. */
export function readReplica(
  hosts: ShardHosts,
  group: GroupId,
  request: WorkerRequest,
  timeoutMs: number,
  done: (reply: WorkerReply | null) => void,
): void {
  const { host } = hosts;
  const replica = hosts.replica(group);
  if (replica === null) {
    host.ports.clock.defer(() => done(null));
    return;
  }
  let told = false;
  const tell = (reply: WorkerReply | null): void => {
    if (told) return;
    told = true;
    timer.cancel();
    done(reply);
  };
  // A machine whose place another takes answers nothing any more.
  const timer = host.ports.clock.schedule(timeoutMs, () => tell(null));
  replica.group.reads.barrier(timeoutMs, (ready) => {
    if (!ready) return tell(null);
    // Rule W7: found to be in doubt while it was asked.
    replica.machine.ask(request, (reply) => tell(replica.group.stateDoubted ? null : reply));
  });
  replica.markDirty();
  host.markDirty();
}
