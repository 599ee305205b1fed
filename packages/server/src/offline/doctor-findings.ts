import type { ConfigurationGiven, NodeConfig } from "../config/index.ts";

/** One thing that was looked at. */
export interface Finding {
  readonly check:
    | "configuration"
    | "node"
    | "data"
    | "disk"
    | "logs"
    | "certificates"
    | "access"
    | "port"
    | "peers"
    | "cluster"
    | "clock"
    | "compose";
  readonly severity: "ok" | "warning" | "error";
  readonly what: string;
  /** What to do; null = nothing. */
  readonly next: string | null;
}

export interface DoctorOptions extends ConfigurationGiven {
  readonly cwd: string;
  /** Calls to nodes; with the node's own certificate, where it has one and nobody named another. */
  readonly fetchWith: (tls: NodeConfig["tls"]) => typeof fetch;
  readonly token: string | undefined;
  /** Where a cluster may run that this configuration says nothing of; empty = it is not looked for. */
  readonly clusterUrls: readonly string[];
  readonly nowMs: () => number;
}

export const ok = (check: Finding["check"], what: string): Finding => ({ check, severity: "ok", what, next: null });
export const warning = (check: Finding["check"], what: string, next: string): Finding => ({ check, severity: "warning", what, next });
export const error = (check: Finding["check"], what: string, next: string): Finding => ({ check, severity: "error", what, next });
