import { AuditAnchoring, type Clock, type NodeApi, type Telemetry } from "@trivet/engine";
import type { NodeConfig } from "../config/index.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { AuditLog } from "./audit-log.ts";

/** A node that stops waits so long for the anchor of what it has written; what it writes after that is anchored when it starts again. */
const lastAnchorMs = 1_000;

interface Tools {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly telemetry: Telemetry;
}

/** From now on the head of the log goes into the cluster's state. Returns how to end that. */
export function anchorInCluster(audit: AuditLog, config: NodeConfig, tools: Tools): () => void {
  const { metrics } = tools;
  const anchoring = new AuditAnchoring(config.nodeId, tools, audit, config.http.requestTimeoutMs);
  metrics.onCollect(() => {
    metrics.set("audit_unanchored_records", anchoring.behind);
    if (anchoring.ageMs !== null) metrics.set("audit_anchor_age_seconds", anchoring.ageMs / 1_000);
  });
  // Seen before the first: what appears with a 1 has not risen.
  for (const reason of ["unavailable", "mismatch"]) metrics.count("audit_anchor_failures_total", 0, { reason });
  audit.anchorWith(anchoring);
  return () => anchoring.stop();
}

export async function anchoredInTime(audit: AuditLog): Promise<void> {
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, lastAnchorMs);
  });
  await Promise.race([audit.inCluster(), late]);
  if (timer !== null) clearTimeout(timer);
}
