import type { LogLevel } from "@trivet/engine";
import type { Fields } from "./logger.ts";

/** An event of the engine on its way to the log. */
export interface LogEvent {
  readonly level: LogLevel;
  readonly event: string;
  readonly text: string;
  readonly fields: Fields;
}
export interface EventRule {
  /** Changes level, text or fields: the tokens that the source documents tell people to grep for. */
  readonly shape?: (event: LogEvent) => LogEvent;
  /** At INFO one line per interval and subject; complete at DEBUG. */
  readonly limit?: (event: LogEvent) => string;
}

const field = (event: LogEvent, name: string): string => {
  const value = event.fields[name];
  return typeof value === "string" ? value : value === undefined || value === null ? "?" : JSON.stringify(value);
};
const isTimeout = (reason: string): boolean => /time[d]?[ -]?out|ETIMEDOUT|no answer/i.test(reason);

/** L-07: our words, with those that S1 tells people to grep for behind them. */
function peerTrouble(event: LogEvent): LogEvent {
  const reason = field(event, "reason");
  const peer = event.fields["peer"] === undefined ? field(event, "address") : field(event, "peer");
  const words = isTimeout(reason) ? `Timeout saat mengirim ke ${peer}` : `Gagal terhubung ke ${peer}`;
  return event.text.includes(words) ? event : { ...event, text: `${event.text} (${words})` };
}

/** L-04: our words, with those that S0 tells people to grep for behind them. */
function redisTrouble(event: LogEvent): LogEvent {
  const words = `❌ Node ${field(event, "node")} GAGAL terhubung ke Redis`;
  return event.text.includes(words) ? event : { ...event, text: `${event.text} (${words})` };
}

/** A cached key is no secret, and is named as what it is. */
function withCachedKey(event: LogEvent): LogEvent {
  const { key, ...fields } = event.fields;
  return key === undefined ? event : { ...event, fields: { ...fields, cache_key: key } };
}

/** L-05: our words, with those that S0 tells people to grep for before them. */
function withdrawal(event: LogEvent): LogEvent {
  const words = "INVALIDATE diterima";
  const text = event.text.includes(words) ? event.text : `${words}: ${event.text}`;
  return withCachedKey({ ...event, text });
}

/** What the server does with events of the engine; others pass unchanged. */
export const eventRules: Readonly<Record<string, EventRule>> = {
  /** L-01: the token LEADER stands in the line of a won election, and in `raft_role`. */
  "raft.role": {
    shape: (event) => {
      if (event.fields["raft_role"] !== "LEADER" || event.text.includes("LEADER")) return event;
      return { ...event, text: `LEADER: ${event.text}` };
    },
  },
  /** L-02: elections that fail again and again, with who did not answer and why. */
  "raft.election-failed": {
    shape: (event) => ({ ...event, level: "warn" }),
    limit: (event) => `${event.event}:${field(event, "group")}`,
  },
  "raft.membership.refused": { limit: (event) => event.event },
  /** L-03: heartbeats are a metric, and complete at DEBUG. */
  "raft.heartbeat": { shape: (event) => ({ ...event, level: "debug" }) },
  /** L-07: aggregated per peer. */
  "peer.unreachable": { shape: peerTrouble, limit: (event) => `${event.event}:${field(event, "address")}:${field(event, "reason")}` },
  "peer.lost": { limit: (event) => `${event.event}:${field(event, "peer")}` },
  "peer.refused": { limit: (event) => `${event.event}:${field(event, "address")}:${field(event, "code")}` },
  "peer.turned-away": { limit: (event) => `${event.event}:${field(event, "code")}` },
  "access.refused": { limit: (event) => `${event.event}:${field(event, "reason")}` },
  "access.ended": { limit: (event) => `${event.event}:${field(event, "principal")}` },
  "access.forbidden": { limit: (event) => `${event.event}:${field(event, "principal")}` },
  "http.refused": { limit: (event) => `${event.event}:${field(event, "reason")}` },
  "tls.refused": { limit: (event) => `${event.event}:${field(event, "reason")}` },
  "peer.same-id": { limit: (event) => event.event },
  "cache.invalidated": { shape: withdrawal, limit: (event) => event.event },
  "origin.down": { shape: (event) => (field(event, "origin") === "redis" ? redisTrouble(event) : event) },
  "origin.load": { shape: withCachedKey, limit: (event) => `${event.event}:${field(event, "origin")}` },
  "origin.write": { shape: withCachedKey, limit: (event) => `${event.event}:${field(event, "origin")}` },
  "origin.behind": { limit: (event) => `${event.event}:${field(event, "namespace")}` },
  "redis.down": { shape: redisTrouble },
  "redis.script": { limit: (event) => `${event.event}:${field(event, "reason")}` },
  "trace.failed": { limit: (event) => event.event },
  "time.skew": { limit: (event) => event.event },
};
