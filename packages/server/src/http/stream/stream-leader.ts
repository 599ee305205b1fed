import type { HttpContext } from "../context.ts";
import { leadership } from "../cluster/raft-view.ts";

/** The leader as told to clients; "" = none is known. */
export interface Leader {
  readonly leader: string;
  readonly leaderUrl: string;
  readonly term: number;
}

export function leaderOf(context: HttpContext): Leader {
  const status = context.node.status();
  const { leader, term } = leadership(context, status);
  if (leader === null) return { leader: "", leaderUrl: "", term };
  const url = leader === status.node ? context.config.advertiseUrl : (status.peers.find((peer) => peer.node === leader)?.address ?? "");
  return { leader, leaderUrl: url, term };
}
