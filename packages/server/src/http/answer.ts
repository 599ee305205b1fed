import type { ErrorCode, Problem } from "@trivet/contract";

export interface Success {
  readonly type: "success";
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it is not JSON. */
  readonly contentType?: string;
}
/** Becomes a problem; the status comes from the catalogue. */
export interface Failure {
  readonly type: "failure";
  readonly code: ErrorCode;
  /** Fills the catalogue's templates. */
  readonly values?: Readonly<Record<string, string | number>>;
  /** Instead of the catalogue's text. */
  readonly detail?: string;
  /** Further members of the problem. */
  readonly members?: Partial<Problem>;
  readonly retryAfterMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}
/** The handler has taken the connection (server-sent events). */
export interface Taken {
  readonly type: "taken";
}
export type Answer = Success | Failure | Taken;

export const ok = (body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Success => ({
  type: "success",
  status,
  body,
  headers,
});
export const text = (body: string, contentType: string): Success => ({ type: "success", status: 200, body, contentType });
export const taken: Taken = { type: "taken" };

export function failure(code: ErrorCode, options: Omit<Failure, "type" | "code"> = {}): Failure {
  return { type: "failure", code, ...options };
}

/** A wrong field of the request; the most common failure. */
export function badField(field: string, expected: string): Failure {
  return failure("bad_request", { values: { field, expected }, members: { field, expected } });
}

/** Thrown where a value cannot be returned (parsers and hooks of Fastify); everything else returns a Failure. */
export class FailureError extends Error {
  readonly failure: Failure;
  /** Fastify reads it when the error happens before our handler runs. */
  readonly statusCode: number;
  constructor(reason: Failure, statusCode: number) {
    super(reason.detail ?? reason.code);
    this.name = "FailureError";
    this.failure = reason;
    this.statusCode = statusCode;
  }
}
