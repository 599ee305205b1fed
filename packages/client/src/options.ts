import { hostname } from "node:os";

/** What `connect` accepts. Times in milliseconds. */
export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** Shown to people next to the session: default host name and process id. */
  readonly label?: string;
  /** `leader` (default) talks to the leader and follows it; `any` stays with the first node that answers. */
  readonly routing?: "leader" | "any";
  /** A command is answered within this time, plus its wait, or fails. */
  readonly commandTimeoutMs?: number;
  /** `connect` fails when no node has answered by then. */
  readonly connectTimeoutMs?: number;
  /** Time to live of sessions: how long after this process goes silent its locks are freed. */
  readonly sessionTtlMs?: number;
  /** Pause before a lock of a session is granted again after it was lost; 0 = none. */
  readonly lockDelayMs?: number;
  /** A connection that is silent for so long, though pinged, is given up. */
  readonly deadAfterMs?: number;
  /** While searching for a node, another one is tried beside the first after so long. */
  readonly staggerMs?: number;
  /** Pause between rounds of failed attempts: doubles from the first to the second, with jitter. */
  readonly backoffMs?: readonly [first: number, longest: number];
}

export type Settings = Required<Omit<ConnectOptions, "token">> & { readonly token: string | null };

export function settingsOf(options: ConnectOptions): Settings {
  return {
    token: options.token ?? null,
    label: options.label ?? `${hostname()}/${process.pid}`,
    routing: options.routing ?? "leader",
    commandTimeoutMs: options.commandTimeoutMs ?? 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    sessionTtlMs: options.sessionTtlMs ?? 10_000,
    lockDelayMs: options.lockDelayMs ?? 0,
    deadAfterMs: options.deadAfterMs ?? 3_000,
    staggerMs: options.staggerMs ?? 250,
    backoffMs: options.backoffMs ?? [25, 1_000],
  };
}

/** `http://host:1`, `https://…`, `ws://…`, `wss://…` or `host:1`, without path, query or trailing slash, as an HTTP URL. Null = not one. */
export function nodeUrl(text: string): string | null {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) return null;
  const url = new URL(withScheme);
  const scheme = { "http:": "http", "ws:": "http", "https:": "https", "wss:": "https" }[url.protocol];
  return scheme === undefined || url.host === "" ? null : `${scheme}://${url.host}`;
}

/** Where a node's stream is. */
export function streamUrl(node: string): string {
  return `${node.replace(/^http/, "ws")}/v1/stream`;
}
