import type { NodeHost } from "../node/node-host.ts";
import { systemGroup } from "./system-machine.ts";

/** A node whose log was damaged votes again once it has everything the leader has (rule W6); its log then says so. */
export function trustWhenCaughtUp(host: NodeHost): void {
  if (!host.untrusted || host.system === null || !host.system.raft.mayVote) return;
  host.untrusted = false;
  host.wal?.trust(systemGroup, () => {
    if (host.phase === "recovering") host.setPhase("running", "");
    host.ports.telemetry.log("info", "storage.recovered", "caught up with the leader: this node votes again");
  });
}
