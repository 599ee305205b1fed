import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { TrivetError } from "./errors.ts";

type Pem = string | Uint8Array;
/** For nodes with TLS. PEM texts, as read from the files. */
export interface TlsOptions {
  /** The authority of the nodes' certificates; without it those that Node trusts. */
  readonly ca?: Pem | readonly Pem[];
  /** Certificate and key of this client, where the nodes want one (TLS_MODE=mutual). */
  readonly cert?: Pem;
  readonly key?: Pem;
}

/** What `connect` accepts. Times in milliseconds. */
export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`: a key or a token. A function is called for every new connection; when it throws, what it gave before is used. */
  readonly token?: string | (() => string);
  /** Instead: a file that holds it, read for every new connection, so that a token that was renewed is taken. */
  readonly tokenFile?: string;
  /** A function is called for every new connection, so that renewed certificates are taken; when it throws, what it gave before is used. */
  readonly tls?: TlsOptions | (() => TlsOptions);
  /**
   * Spans by the OpenTelemetry API (`@opentelemetry/api`), where the program has it and has registered a provider before it connects. Default true; false
   * = none.
   */
  readonly tracing?: boolean;
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

export type Settings = Required<Omit<ConnectOptions, "token" | "tokenFile" | "tls">> & {
  /** As they are now. */
  readonly token: () => string | null;
  readonly tls: () => SecureOptions;
};

/** What Node's TLS takes; nothing older than TLS 1.3 is spoken. */
export interface SecureOptions {
  readonly ca?: string | Buffer | (string | Buffer)[];
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly minVersion: "TLSv1.3";
}

const pem = (text: Pem): string | Buffer => (typeof text === "string" ? text : Buffer.from(text));

function secureOptions(tls: TlsOptions): SecureOptions {
  const { ca, cert, key } = tls;
  return {
    minVersion: "TLSv1.3",
    ...(ca === undefined ? {} : { ca: typeof ca === "string" || ca instanceof Uint8Array ? pem(ca) : ca.map(pem) }),
    ...(cert === undefined ? {} : { cert: pem(cert) }),
    ...(key === undefined ? {} : { key: pem(key) }),
  };
}

/** The first call is here, so that `connect` rejects with what is wrong; later ones are in timers, where nobody could catch it. */
function renewed<T>(give: () => T): () => T {
  let last = give();
  return () => {
    try {
      last = give();
    } catch {
      // A file that is being replaced: the next connection asks again.
    }
    return last;
  };
}

function tlsOf(tls: TlsOptions | (() => TlsOptions)): () => SecureOptions {
  if (typeof tls === "function") return renewed(() => secureOptions(tls()));
  const fixed = secureOptions(tls);
  return () => fixed;
}

/** The text of a header: without what would end it, or make two of it. It is not shown, as it is a secret. */
function checkedToken(text: string, from: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new TrivetError("bad_request", `${from} is no key and no token: one word is expected`);
  return token;
}

function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new TrivetError("bad_request", `tokenFile: ${(error as Error).message}`, { cause: error });
  }
}

function tokenOf({ token, tokenFile }: ConnectOptions): () => string | null {
  if (token !== undefined && tokenFile !== undefined) throw new TrivetError("bad_request", "token and tokenFile: one of them is expected");
  if (tokenFile !== undefined) return renewed(() => checkedToken(readToken(tokenFile), "tokenFile"));
  if (token === undefined) return () => null;
  return renewed(() => checkedToken(typeof token === "function" ? token() : token, "token"));
}

export function settingsOf(options: ConnectOptions): Settings {
  return {
    tls: tlsOf(options.tls ?? {}),
    token: tokenOf(options),
    tracing: options.tracing ?? true,
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
