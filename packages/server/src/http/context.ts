import type { CacheApi, NodeApi, ProgramsApi, QueuesApi } from "@trivet/engine";
import type { NodeConfig } from "../config/index.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { AccessControl } from "../security/access-control.ts";
import type { AuditLog } from "../security/audit-log.ts";
import type { RateLimiter } from "../security/rate-limiter.ts";
import type { NodeTls } from "../security/node-tls.ts";

/** What the HTTP layer logs to. */
export interface HttpLog {
  log(level: "debug" | "info" | "warn" | "error", event: string, text: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Everything a handler may use; built once in `createHttpApp`. */
export interface HttpContext {
  readonly node: NodeApi;
  /** Null where the node keeps no queues: their paths are refused before any handler runs. */
  readonly queues: QueuesApi | null;
  /** Null where the node keeps no cached values: their paths are refused before any handler runs. */
  readonly cache: CacheApi | null;
  /** Null where no program can hold copies of cached values through this node. */
  readonly programs: ProgramsApi | null;
  readonly config: NodeConfig;
  readonly metrics: Metrics;
  readonly log: HttpLog;
  readonly version: string;
  /** Null = plain HTTP. */
  readonly tls: NodeTls | null;
  /** Null = nobody is asked who they are. */
  readonly access: AccessControl | null;
  /** Null = nothing is audited. */
  readonly audit: AuditLog | null;
  /** Null = nothing is traced. */
  readonly tracing: Tracing | null;
  /** Null = callers may be as fast as they like. */
  readonly limiter: RateLimiter | null;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Unix milliseconds; for ages shown to people only (rule L3). */
  readonly wallNow: () => number;
  /** The port the API really listens on (HTTP_PORT may be 0). */
  readonly port: () => number;
  /** Long-lived answers (server-sent events) register how to be ended when the server closes. */
  readonly onClose: (end: () => void) => () => void;
}

/** Who calls, as far as access control knows. Without access control everybody is the same principal (rule K2). */
export const anonymousPrincipal = "anonymous";
