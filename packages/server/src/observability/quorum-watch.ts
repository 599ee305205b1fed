import type { NodeApi } from "@trivet/engine";
import type { HttpLog } from "../http/context.ts";
import { quorumOf } from "../http/cluster/raft-view.ts";

const lookEveryMs = 2_000;
/** A normal election is over long before. */
const tellAfterMs = 5_000;
const tellEveryMs = 30_000;

/** Says in the log what keeps a cluster without leader: "have 1 of 2 voters needed, missing: node2" (T-09). Returns how to stop. */
export function watchQuorum(node: NodeApi, log: HttpLog, now: () => number): () => void {
  let withoutSince: number | null = null;
  let toldAt = Number.NEGATIVE_INFINITY;
  const look = (): void => {
    const status = node.status();
    const at = now();
    if (status.phase !== "running" || status.groups[0]?.leader !== null) {
      withoutSince = null;
      return;
    }
    withoutSince ??= at;
    if (at - withoutSince < tellAfterMs || at - toldAt < tellEveryMs) return;
    toldAt = at;
    const { needed, reachable, missing } = quorumOf(status);
    const reasons = status.peers
      .filter((peer) => !peer.connected && peer.lastError !== null)
      .map((peer) => `${peer.node === "" ? peer.address : peer.node}: ${peer.lastError}`);
    const why = reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
    log.log(
      "warn",
      "raft.no-quorum",
      `no leader for ${Math.round((at - withoutSince) / 1_000)} s: have ${reachable} of ${needed} voters needed, missing: ${missing.join(", ") || "none"}${why}`,
      { needed, reachable, missing },
    );
  };
  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
