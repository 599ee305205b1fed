import type { Unavailable } from "./node-api.ts";
import type { NodeHost } from "./node-host.ts";

/** Why a node takes no command now; null = it does. `leads` = it would go into this node's log first. */
export function refusalOf({ config, disk, isStopped, phase }: NodeHost, leads: boolean): Unavailable | null {
  if (phase === "stopping" || isStopped) {
    return { type: "unavailable", code: "stopping", retryAfterMs: 100, detail: `${config.node} is stopping` };
  }
  if (disk.low && leads) return { type: "unavailable", code: "storage", retryAfterMs: 1_000, detail: disk.detail };
  return null;
}
