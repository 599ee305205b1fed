import type { NodeId } from "@trivet/core";
import type { Result } from "@trivet/wire";
import { FrameOutbox } from "./frame-outbox.ts";
import type { NodeHost } from "../node/node-host.ts";
import { systemGroup } from "../groups/system-machine.ts";

/** This node's way into group 0. */
export function systemOutbox(host: NodeHost): FrameOutbox<Result> {
  return new FrameOutbox(
    {
      now: () => host.ports.clock.now(),
      groupTime: () => host.groupTime.now(),
      leader: () => host.system?.leader() ?? null,
      term: () => host.system?.term() ?? 0,
      dispatch: (leader, frame) => dispatch(host, leader, frame),
      lookup: (caller, sequence) => host.machine?.lookup(caller, sequence) ?? "unknown",
      isRefusal: (result) => result.type === "refused",
      isPassing: (result) => result.type === "refused" && result.reason === "too-many-callers",
      levelRefusal: (level) => host.features.refusal(level),
      failed: (reason) => host.ports.telemetry.count("trivet_raft_proposals_failed_total", 1, { reason }),
    },
    host.config.noLeaderWaitMs,
  );
}

/** Hands a frame of group 0 to its leader; false = it cannot be reached now. */
function dispatch(host: NodeHost, leader: NodeId, frame: Uint8Array): boolean {
  if (host.system === null) return false;
  if (leader === host.config.node) return host.system.enqueue(frame);
  host.markDirty();
  return host.hub.send(leader, { type: "forward", group: systemGroup, frame }, false);
}
