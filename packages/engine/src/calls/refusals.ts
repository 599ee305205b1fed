import { mutant } from "@trivet/core/mutation";
import { checkFrame } from "@trivet/wire";
import type { DiskGuard } from "../groups/disk-guard.ts";
import type { Unavailable } from "../node/node-api.ts";
import type { NodeHost } from "../node/node-host.ts";

/**
 * Below the reserve a leader takes no commands of callers. Anchors of audit logs go on as long as what it writes by itself: without them nobody could
 * administer what helps a full disk, which is to move the leadership, or to drain or replace the node (decision 0036).
 */
export const hasRoomFor = ({ critical, low }: DiskGuard, isAnchors: () => boolean): boolean =>
  !low || (!critical && isAnchors() && !mutant("host-anchor-held-by-disk"));

/** Why a node takes no command now; null = it does. `leads` = it, the frame if it is known, would go into this node's log first. */
export function refusalOf(
  { config, disk, isStopped, phase }: NodeHost,
  leads: boolean,
  frame: Uint8Array | null = null,
): Unavailable | null {
  if (phase === "stopping" || isStopped) {
    return { type: "unavailable", code: "stopping", retryAfterMs: 100, detail: `${config.node} is stopping` };
  }
  if (leads && !hasRoomFor(disk, () => frame !== null && checkFrame(frame).isAnchors))
    return { type: "unavailable", code: "storage", retryAfterMs: 1_000, detail: disk.detail };
  return null;
}
