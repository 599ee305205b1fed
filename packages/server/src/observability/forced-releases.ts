import type { NodeApi } from "@trivet/engine";
import type { HttpLog } from "../http/context.ts";

/**
 * Audit: every node writes down, as it applies it, which grant an operator ended, and why, whatever node or path the order came by. A node
 * that replays its log after a start writes the line again, with the same index. Returns how to stop.
 */
export function logForcedReleases(node: NodeApi, log: HttpLog): () => void {
  return node.watch((event, index) => {
    if (event.type !== "lock-released" || event.forced === undefined) return;
    const { name, owner, session, fence } = event;
    const { principal, reason } = event.forced;
    log.log("info", "lock.forced-release", `lock ${name} was taken from ${owner} (fence ${fence}): ${reason}`, {
      name,
      owner,
      session_id: session === 0 ? null : String(session),
      fence: String(fence),
      principal,
      reason,
      index: String(index),
    });
  });
}
