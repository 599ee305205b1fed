/** Answer of a node; `body` is parsed JSON, or the text when it is none. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
  readonly text: string;
}
// Tests look into answers freely; a wrong shape shows as a failed expectation.
export type Json = { readonly [key: string]: JsonValue };
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | Json;

/** A field of an answer that must be text. */
export function textOf(value: JsonValue | undefined): string {
  if (typeof value !== "string") throw new TypeError(`text was expected, not ${JSON.stringify(value)}`);
  return value;
}

export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** One HTTP call. Rejects only when no answer came. */
export async function call(url: string, options: CallOptions = {}): Promise<Answer> {
  const { method = options.body === undefined && options.raw === undefined ? "GET" : "POST", timeoutMs = 15_000 } = options;
  const payload = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const answer = await fetch(url, {
    method,
    signal: AbortSignal.timeout(timeoutMs),
    redirect: "manual",
    headers: { ...(payload === undefined ? {} : { "content-type": "application/json" }), ...options.headers },
    ...(payload === undefined ? {} : { body: payload }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: parse(text), text };
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return { text };
  }
}

/** Calls and insists on a status; the error shows the whole answer. */
export async function expectStatus(status: number, url: string, options: CallOptions = {}): Promise<Answer> {
  const answer = await call(url, options);
  if (answer.status !== status) {
    throw new Error(`${options.method ?? ""} ${url} answered ${answer.status}, expected ${status}: ${answer.text.slice(0, 1_000)}`);
  }
  return answer;
}
