import type { Metrics } from "../observability/metrics.ts";
import type { HttpLog } from "./context.ts";

/** Why a connection, or a request by its form alone, is refused: labels of `http_rejected_connections_total`. */
const causes = {
  silent: "connection from %s was refused: it had sent nothing, and its room was needed",
  total: "connection from %s was refused: there are HTTP_MAX_CONNECTIONS already",
  address: "connection from %s was refused: there are too many from this address",
  slow: "request from %s was refused: it was not complete in time (408)",
  headers: "request from %s was refused: its headers are too long (431)",
  malformed: "request from %s was refused: it is no valid HTTP/1.1 (400)",
  body: "request from %s was refused: its body is too large (413)",
} as const;
export type RefusalCause = keyof typeof causes;

/** Counts it and tells of it, with where it came from; the log shows few of each cause (`eventRules`). */
export type TellRefusal = (cause: RefusalCause, address: string) => void;

export const refusalTeller =
  (metrics: Metrics, log: HttpLog): TellRefusal =>
  (cause, address) => {
    metrics.count("http_rejected_connections_total", 1, { reason: cause });
    log.log("warn", "http.refused", `a ${causes[cause].replace("%s", address)}`, { reason: cause, address });
  };
