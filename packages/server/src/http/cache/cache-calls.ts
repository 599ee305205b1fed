import type { CacheApi, CacheCallOptions, CacheFailure } from "@trivet/engine";
import { failure, type Failure } from "../answer.ts";
import { idempotency, isFailure, unavailable, type AnyCall } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decimal } from "../outcomes.ts";
import { refused } from "../queues/queue-calls.ts";

/** The cached values of this node. Their paths are refused earlier where there are none. */
export function cacheOf(context: HttpContext): CacheApi {
  if (context.cache === null) throw new Error("a cache path was served by a node without a cache");
  return context.cache;
}

const timeoutOf = (context: HttpContext): number => context.config.http.requestTimeoutMs;

/** Deadline and idempotency of one write. */
function cacheOptions(context: HttpContext, call: AnyCall): CacheCallOptions | Failure {
  const idempotent = idempotency(call);
  if (isFailure(idempotent)) return idempotent;
  return { timeoutMs: timeoutOf(context), ...(idempotent === undefined ? {} : { idempotency: idempotent }) };
}

/** What a call is about: named in what a refused one is told. */
export interface Subject {
  readonly namespace: string;
  readonly key?: string;
}

export function cacheFailure(context: HttpContext, outcome: CacheFailure, { namespace, key = "" }: Subject): Failure {
  switch (outcome.type) {
    case "unknown-namespace":
      return failure("namespace_unknown", { values: { name: outcome.namespace } });
    case "namespace-exists":
      return failure("namespace_exists", { values: { name: outcome.namespace.name } });
    case "fixed":
      return failure("namespace_fixed", {
        values: { name: namespace, field: outcome.field, value: outcome.value },
        members: { field: outcome.field, expected: outcome.value },
      });
    case "too-many-namespaces":
      return failure("quota_exceeded", {
        values: { limit: "namespaces", max: outcome.max },
        members: { limit: "namespaces", max: outcome.max },
      });
    case "conflict": {
      const version = decimal(outcome.version);
      const code = outcome.reason === "token" ? "load_stale" : "version_mismatch";
      return failure(code, { values: { key, version }, members: { version, reason: outcome.reason } });
    }
    case "cache-full":
      return failure("cache_full", {
        values: { namespace, limit: outcome.limit, max: outcome.max },
        members: { limit: outcome.limit, max: outcome.max },
      });
    case "origin-behind":
      return failure("origin_behind", { values: { namespace, max: outcome.max }, members: { max: outcome.max }, retryAfterMs: 1_000 });
    case "not-a-number":
      return failure("not_a_number", { values: { key } });
    case "origin-unavailable":
      return failure("origin_unavailable", { values: { namespace, key }, members: { reason: outcome.reason }, retryAfterMs: 1_000 });
    case "fence-behind":
      return failure("fence_behind", { values: { name: outcome.lock, fence: outcome.highest }, members: { highest: outcome.highest } });
    case "position-gone":
      return failure("position_gone");
    case "refused":
      return refused(outcome.reason);
    case "malformed":
      return failure("bad_request", {
        values: { field: "request", expected: outcome.detail },
        members: { field: "request", expected: outcome.detail },
      });
    case "unavailable":
      return unavailable(context, outcome);
    case "unknown":
      return failure("commit_timeout", {
        values: { id: outcome.requestId },
        members: { outcome: "unknown", request_id: outcome.requestId },
      });
  }
}

/** A record and not a list: a kind that is forgotten here does not compile, and would count as success. */
const failures: Readonly<Record<CacheFailure["type"], true>> = {
  "unknown-namespace": true,
  "namespace-exists": true,
  fixed: true,
  "too-many-namespaces": true,
  conflict: true,
  "cache-full": true,
  "origin-behind": true,
  "not-a-number": true,
  "origin-unavailable": true,
  "fence-behind": true,
  "position-gone": true,
  refused: true,
  malformed: true,
  unavailable: true,
  unknown: true,
};
export const isCacheFailure = (outcome: { readonly type: string }): outcome is CacheFailure => Object.hasOwn(failures, outcome.type);

type Start<Wanted, Options> = (cache: CacheApi, options: Options, done: (outcome: Wanted | CacheFailure) => void) => void;

/** Asks one question: its outcome of the wanted type, or the failure it is instead. */
export async function question<Wanted extends { readonly type: string }>(
  context: HttpContext,
  subject: Subject,
  start: Start<Wanted, number>,
): Promise<Wanted | Failure> {
  const outcome = await new Promise<Wanted | CacheFailure>((resolve) => start(cacheOf(context), timeoutOf(context), resolve));
  return isCacheFailure(outcome) ? cacheFailure(context, outcome, subject) : outcome;
}

/** Carries out one change. */
export async function change<Wanted extends { readonly type: string }>(
  context: HttpContext,
  call: AnyCall,
  subject: Subject,
  start: Start<Wanted, CacheCallOptions>,
): Promise<Wanted | Failure> {
  const options = cacheOptions(context, call);
  if (isFailure(options)) return options;
  return question<Wanted>(context, subject, (cache, _timeoutMs, done) => start(cache, options, done));
}
