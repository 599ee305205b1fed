import { type ClientErrorCode, TrivetError, UnavailableError } from "./errors.ts";

/** A question over HTTP to the node in use. Rejects with the TrivetError that its problem document names. */
export async function httpGet(node: string | null, path: string, token: string | null, timeoutMs: number): Promise<unknown> {
  if (node === null) throw new UnavailableError("unreachable", "No node is connected");
  let answer: Response;
  let body: unknown;
  try {
    answer = await fetch(`${node}${path}`, {
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(timeoutMs),
    });
    body = await answer.json();
  } catch (error) {
    throw new UnavailableError("unreachable", `${node} did not answer GET ${path}`, { cause: error });
  }
  if (answer.ok) return body;
  const problem = (body ?? {}) as {
    readonly code?: ClientErrorCode;
    readonly title?: string;
    readonly detail?: string;
    readonly retryable?: boolean;
  };
  const text = problem.detail ?? problem.title ?? `HTTP status ${answer.status}`;
  throw new TrivetError(problem.code ?? "internal", text, { retryable: problem.retryable === true, details: { ...problem } });
}
