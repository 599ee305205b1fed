import type { NodeTransport } from "../adapters/index.ts";
import type { NodeConfig } from "../config/index.ts";
import type { NodeTelemetry } from "../observability/telemetry.ts";
import { failure } from "./answer.ts";
import { refuseSocket } from "./connections.ts";
import type { UpgradeHandler } from "./upgrade.ts";

/**
 * Peers that come to the API's port. A node that asks callers who they are, and has nothing that a peer could prove itself with, takes none:
 * the loopback address alone proves nothing there.
 */
export function peersOf(config: NodeConfig, transport: NodeTransport, telemetry: NodeTelemetry): UpgradeHandler {
  if (config.access === null || config.macKey !== null || config.tls !== null)
    return (request, socket, head) => void transport.handleUpgrade(request, socket, head);
  const reason = "A node with AUTH_MODE takes peers with SHARED_MAC_KEY or TLS, or on a CLUSTER_PORT, and this one has none of these.";
  return (request, socket) => {
    const { remoteAddress = "" } = request.socket;
    telemetry.count("peer_refusals_total", 1, { code: "unproven" });
    telemetry.log("warn", "peer.turned-away", `a peer that came from ${remoteAddress} was turned away: ${reason}`, {
      address: remoteAddress,
      code: "unproven",
    });
    refuseSocket(socket, failure("forbidden", { values: { reason } }));
  };
}
