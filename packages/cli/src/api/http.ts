import { exitCodes } from "@trivet/contract";
import { CliError, errorFromAnswer, usageError } from "../output/errors.ts";

/** Where a cluster on this machine listens: `trivet dev` takes the first three, a lone `trivet serve` the last. */
export const defaultUrls = ["http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://127.0.0.1:8003", "http://127.0.0.1:8000"] as const;

export interface Api {
  /** Calls the first node that answers. Error answers are thrown as CliError. */
  call(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<unknown>;
  /** Calls one node; null when it does not answer. */
  ask(url: string, path: string): Promise<{ readonly status: number; readonly body: unknown } | { readonly problem: string }>;
  /** The text of one node's answer, whatever its kind and status. Throws when there is none. */
  text(url: string, path: string): Promise<string>;
  /** A large answer of one node, whose body the caller reads. Error answers are thrown as CliError. */
  open(url: string, path: string, signal: AbortSignal): Promise<Response>;
  readonly urls: readonly string[];
}

export interface ApiOptions {
  readonly urls: readonly string[];
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
  /** Sent as `Authorization: Bearer`; from TRIVET_TOKEN or its file, never from a flag, which other users of the machine could read. */
  readonly token?: () => string | undefined;
}

/** URLs from `--url`, else TRIVET_URL, else this machine. */
export function urlsFrom(flag: string | undefined, env: NodeJS.ProcessEnv): readonly string[] {
  const given = flag ?? env["TRIVET_URL"];
  if (!given) return defaultUrls;
  return given
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "")
    .map(nodeUrl);
}

function nodeUrl(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw usageError(`${text} is not the URL of a node.`, "--url http://HOST:PORT (several: with commas between)");
  return url.replace(/\/+$/, "");
}

/** HTTP calls of the CLI: one node after another until one answers. */
export function createApi(options: ApiOptions): Api {
  const { urls, timeoutMs } = options;
  const authorization = (): Readonly<Record<string, string>> => {
    const token = options.token?.();
    return token ? { authorization: `Bearer ${token}` } : {};
  };
  const send = async (
    url: string,
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ status: number; body: unknown }> => {
    const answer = await options.fetch(`${url}${path}`, {
      method,
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        ...authorization(),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: parse(text) };
  };
  return {
    urls,
    text: async (url, path) => {
      const answer = await options.fetch(`${url}${path}`, { signal: AbortSignal.timeout(timeoutMs), headers: authorization() });
      return answer.text();
    },
    open: async (url, path, signal) => {
      const answer = await options.fetch(`${url}${path}`, { signal, headers: authorization() });
      if (answer.status < 400) return answer;
      throw errorFromAnswer(answer.status, parse(await answer.text()), `GET ${url}${path}`);
    },
    ask: async (url, path) => {
      try {
        return await send(url, "GET", path, undefined);
      } catch (error) {
        if (error instanceof CliError) throw error;
        return { problem: reasonOf(error) };
      }
    },
    call: async (method, path, body, headers) => {
      const silent: string[] = [];
      let refusal: CliError | null = null;
      for (const url of urls) {
        try {
          const answer = await send(url, method, path, body, headers);
          if (answer.status < 400) return answer.body;
          const refused = errorFromAnswer(answer.status, answer.body, `${method} ${url}${path}`);
          if (!elsewhere.has(refused.code)) throw refused;
          refusal ??= refused;
        } catch (error) {
          if (error instanceof CliError) throw error;
          // A call that changes something may have been executed by the node that then fell silent: only a refused connection is safe.
          if (method !== "GET" && !wasRefused(error)) throw unknownOutcome(url, error);
          silent.push(`${url}: ${reasonOf(error)}`);
        }
      }
      throw refusal ?? noAnswer(silent);
    },
  };
}

/** This node cannot, and nothing happened: another one may. */
const elsewhere: ReadonlySet<string> = new Set(["no_leader", "no_quorum", "stopping", "node_removed", "not_ready", "audit_unanchored"]);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 500) };
  }
}

/** Nobody answered: names every address tried and why. */
export function noAnswer(silent: readonly string[]): CliError {
  return new CliError({
    code: "no_answer",
    exitCode: exitCodes.unavailable,
    what: "No node answers.",
    why: silent.join("\n"),
    next: "npm start (a cluster on this machine), or --url http://HOST:PORT to name a node",
  });
}

function unknownOutcome(url: string, error: unknown): CliError {
  return new CliError({
    code: "no_answer",
    exitCode: exitCodes.unknownOutcome,
    what: `${url} did not answer; the call may or may not have taken effect.`,
    why: reasonOf(error),
    next: "look at the state (trivet status, trivet lock show NAME), then decide",
    cause: error,
  });
}

function wasRefused(error: unknown): boolean {
  const code = codeOf(error);
  // fetch itself knows ports that it never dials.
  if (error instanceof Error && error.cause instanceof Error && error.cause.message === "bad port") return true;
  if (code !== null && isTlsFailure(code)) return true;
  return code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EHOSTUNREACH" || code === "EAI_AGAIN";
}

function codeOf(error: unknown): string | null {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return null;
}

/** The handshake did not come to its end, so no call was sent. */
function isTlsFailure(code: string): boolean {
  return /^(?:EPROTO$|ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(?:GET|VERIFY)_|INVALID_PURPOSE$)/.test(code);
}

/** What to do is part of it: a person meets these when certificates are new. */
function tlsReason(code: string, error: Error): string {
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
    return "it speaks plain HTTP: write http:// in the URL";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `its certificate is for another name (${error.message}): use a name that it has, or trivet cert issue NODE --host NAME`;
  if (code === "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")
    return "it wants a certificate: --client-cert and --client-key (trivet cert issue NAME --client)";
  if (code === "CERT_HAS_EXPIRED") return "its certificate has ended: trivet cert issue NODE";
  return `its certificate is not of an authority that is trusted here (${code}): --ca certs/ca.crt, or TRIVET_CA_FILE`;
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  const code = codeOf(error);
  if (code === "ECONNREFUSED") return "connection refused (nothing listens there)";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the host name is not known";
  if (code === "ECONNRESET") return "the connection was closed";
  const said = error.cause instanceof Error ? error.cause : error;
  return code !== null && isTlsFailure(code) ? tlsReason(code, said) : said.message;
}
