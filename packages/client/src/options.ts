import { hostname } from "node:os";

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
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** A function is called for every new connection, so that renewed certificates are taken; when it throws, what it gave before is used. */
  readonly tls?: TlsOptions | (() => TlsOptions);
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

export type Settings = Required<Omit<ConnectOptions, "token" | "tls">> & {
  readonly token: string | null;
  /** As it is now. */
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
function renewed(tls: TlsOptions | (() => TlsOptions)): () => SecureOptions {
  if (typeof tls !== "function") {
    const fixed = secureOptions(tls);
    return () => fixed;
  }
  let last = secureOptions(tls());
  return () => {
    try {
      last = secureOptions(tls());
    } catch {
      // A file that is being replaced: the next connection asks again.
    }
    return last;
  };
}

export function settingsOf(options: ConnectOptions): Settings {
  return {
    tls: renewed(options.tls ?? {}),
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
