import type { Result } from "@trivet/wire";
import { FrameOutbox } from "./frame-outbox.ts";
import type { NodeHost } from "./node-host.ts";

/** This node's way into group 0. */
export function systemOutbox(host: NodeHost): FrameOutbox<Result> {
  return new FrameOutbox(
    {
      now: () => host.ports.clock.now(),
      groupTime: () => host.groupTime.now(),
      leader: () => host.system?.leader() ?? null,
      term: () => host.system?.term() ?? 0,
      dispatch: (leader, frame) => host.dispatchFrame(leader, frame),
      lookup: (caller, sequence) => host.machine?.lookup(caller, sequence) ?? "unknown",
      isRefusal: (result) => result.type === "refused",
      failed: (reason) => host.ports.telemetry.count("trivet_raft_proposals_failed_total", 1, { reason }),
    },
    host.config.noLeaderWaitMs,
  );
}
