import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { type ClientErrorCode, TrivetError, UnavailableError } from "./errors.ts";
import type { LinkAccess } from "./link.ts";

interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Not `fetch`: that takes no authority of ours. */
function get(url: string, access: LinkAccess, timeoutMs: number): Promise<HttpAnswer> {
  const { tls } = access;
  const token = access.token();
  const options = {
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  };
  return new Promise((resolve, reject) => {
    const request = url.startsWith("https:") ? requestHttps(url, { ...options, ...tls() }) : requestHttp(url, options);
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("error", reject);
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
        } catch (error) {
          reject(error);
        }
      });
    });
    request.end();
  });
}

/** A question over HTTP to the node in use. Rejects with the TrivetError that its problem document names. */
export async function httpGet(node: string | null, path: string, access: LinkAccess, timeoutMs: number): Promise<unknown> {
  if (node === null) throw new UnavailableError("unreachable", "No node is connected");
  let answer: HttpAnswer;
  try {
    answer = await get(`${node}${path}`, access, timeoutMs);
  } catch (error) {
    throw new UnavailableError("unreachable", `${node} did not answer GET ${path}`, { cause: error });
  }
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body;
  const problem = (body ?? {}) as {
    readonly code?: ClientErrorCode;
    readonly title?: string;
    readonly detail?: string;
    readonly retryable?: boolean;
  };
  const text = problem.detail ?? problem.title ?? `HTTP status ${status}`;
  throw new TrivetError(problem.code ?? "internal", text, { retryable: problem.retryable === true, details: { ...problem } });
}
