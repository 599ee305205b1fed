import { join } from "node:path";
import type { PeerAddress } from "./peers.ts";
import type { SettingReader } from "./redis.ts";

/** TLS of a node's listeners and of what it dials. */
export interface TlsConfig {
  /** `server`: only nodes must show a certificate, to each other. `mutual`: clients, too. */
  readonly clients: "anyone" | "certified";
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/**
 * Null = plain HTTP, which is only when TLS is not configured at all (G-01): whoever names a certificate means TLS, unless TLS_MODE says
 * off. A file that is missing is a fault, never a reason to go on without it (W-79).
 */
export function readTls(values: SettingReader, nodeId: string): TlsConfig | null {
  const said = values.text("TLS_MODE");
  const folder = values.text("CERT_PATH");
  const certFile = values.text("CERT_FILE");
  const keyFile = values.text("KEY_FILE");
  const isMeant = folder !== null || certFile !== null || keyFile !== null;
  if (said === "off" || (said === null && !isMeant)) return null;
  const fileOf = (name: "CERT_FILE" | "KEY_FILE" | "CA_FILE", file: string): string => {
    const given = values.text(name) ?? (folder === null ? null : join(folder, file));
    if (given === null)
      values.bad(name, `a file, because TLS is on (or CERT_PATH, the folder it is in: trivet cert issue ${nodeId} makes it)`);
    return given ?? "";
  };
  return {
    clients: said === "mutual" ? "certified" : "anyone",
    certFile: fileOf("CERT_FILE", `${nodeId}.crt`),
    keyFile: fileOf("KEY_FILE", `${nodeId}.key`),
    caFile: fileOf("CA_FILE", "ca.crt"),
  };
}

/** With TLS on every node of the cluster speaks HTTPS, however its address was written. */
export const secured = (url: string): string => url.replace(/^http:/, "https:");
export const securedPeers = (peers: readonly PeerAddress[]): readonly PeerAddress[] =>
  peers.map((peer) => ({ ...peer, url: secured(peer.url) }));
