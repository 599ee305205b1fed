import type { cacheRoutes, cacheSchemas } from "@trivet/contract";
import {
  defaultNamespace,
  type CacheConsistency,
  type CacheDeleted,
  type CacheEntry,
  type CacheFailure,
  type CacheRevalidation,
  type CacheWritten,
  type Explained,
} from "@trivet/engine";
import type { WriteCondition } from "@trivet/wire";
import { badField, failure, ok, type Answer, type Failure } from "../answer.ts";
import { cacheFailure, change, isCacheFailure, question, type Subject } from "./cache-calls.ts";
import { storedValue } from "./cache-content.ts";
import { entryJson, explainedJson, readToken, tokenText } from "./cache-views.ts";
import { warm } from "./cache-warm.ts";
import { isFailure, type AnyCall, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { checkNumbers, numberOf } from "../locks/lock-calls.ts";
import { decimal } from "../outcomes.ts";
import { buildProblem } from "../problems.ts";

type ValueRouteId =
  | "getCached"
  | "putCached"
  | "deleteCached"
  | "incrementCached"
  | "invalidateCached"
  | "readCachedKeys"
  | "warmCache"
  | "invalidateCache";

const isOn = (flag: string | undefined): boolean => flag === "1" || flag === "true";

/** A written value of any call: counted once, whatever path it came by. */
export async function write<Wanted extends CacheWritten | CacheDeleted>(
  context: HttpContext,
  operation: "put" | "delete" | "increment",
  carryOut: () => Promise<Wanted | Failure>,
): Promise<Wanted | Failure> {
  const started = context.now();
  const outcome = await carryOut();
  context.metrics.observe("cache_write_duration_seconds", (context.now() - started) / 1_000, {
    operation,
    outcome: isFailure(outcome) ? outcome.code : "done",
  });
  if (isFailure(outcome) && outcome.code === "fence_behind") context.metrics.count("stale_token_rejected_total", 1);
  return outcome;
}

/** One read, by whatever path. What is not there is an entry too. */
export async function readEntry(
  context: HttpContext,
  subject: Subject & { readonly key: string },
  consistency: CacheConsistency,
  revalidate?: CacheRevalidation,
): Promise<CacheEntry | Failure> {
  const { key, namespace } = subject;
  const started = context.now();
  const entry = await question<CacheEntry>(context, subject, (cache, timeoutMs, done) =>
    revalidate === undefined
      ? cache.get(namespace, key, consistency, timeoutMs, done)
      : cache.revalidate(namespace, key, revalidate, timeoutMs, done),
  );
  context.metrics.observe("cache_read_duration_seconds", (context.now() - started) / 1_000, {
    source: isFailure(entry) ? entry.code : entry.source,
  });
  return entry;
}

/** What a reader is told who finds nothing, with what a loader needs. */
export const miss = (entry: CacheEntry, namespace: string): Failure =>
  failure("cache_miss", {
    values: { key: entry.key, namespace },
    members: { version: decimal(entry.version), token: tokenText(entry.token) },
  });

interface Conditions {
  readonly if_version?: string | number | undefined;
  readonly only_if?: "absent" | "present" | undefined;
}
/** Numbers beyond 2^53 are no version: the schema has checked the digits. */
function conditionOf({ if_version: version, only_if: wanted }: Conditions): WriteCondition | Failure {
  if (version === undefined) return { type: wanted ?? "always" };
  if (wanted !== undefined) return badField("only_if", "no `if_version` beside `only_if`");
  const number = numberOf(version);
  return Number.isSafeInteger(number) ? { type: "version", version: number } : badField("if_version", "a number below 2^53");
}

type IfFence = { readonly lock: string; readonly fence: number } | null;
function fenceOf(given: { readonly lock: string; readonly fence: string | number } | undefined): IfFence | Failure {
  if (given === undefined) return null;
  return checkNumbers(given) ?? { lock: given.lock, fence: numberOf(given.fence) };
}

async function put(
  context: HttpContext,
  call: AnyCall,
  subject: Subject & { readonly key: string },
  body: cacheSchemas.PutBody,
): Promise<CacheWritten | Failure> {
  const value = storedValue(body);
  if (isFailure(value)) return value;
  const condition = conditionOf(body);
  if (isFailure(condition)) return condition;
  const ifFence = fenceOf(body.if_fence);
  if (isFailure(ifFence)) return ifFence;
  const token = body.token === undefined ? null : readToken(body.token);
  if (body.token !== undefined && token === null) return badField("token", "the `token` of a read");
  const { namespace, key } = subject;
  const request = { namespace, key, value, tags: body.tags ?? [], ttlMs: body.ttl_ms ?? 0, condition, token, ifFence };
  return write(context, "put", () =>
    change<CacheWritten>(context, call, subject, (cache, options, done) => cache.put(request, options, done)),
  );
}

/** A value without any condition, as the paths of the source documents store one. */
export const putPlain = (
  context: HttpContext,
  call: AnyCall,
  key: string,
  body: { readonly value: unknown; readonly ttl_ms?: number },
): Promise<CacheWritten | Failure> => put(context, call, { namespace: defaultNamespace, key }, body);

async function bulk(context: HttpContext, body: cacheSchemas.BulkBody): Promise<Answer> {
  const { keys, namespace = defaultNamespace, consistency = "linearizable", encoding } = body;
  const outcome = await question<{ readonly type: "entries"; readonly entries: readonly (CacheEntry | CacheFailure)[] }>(
    context,
    { namespace },
    (cache, timeoutMs, done) => cache.getMany(namespace, keys, consistency, timeoutMs, done),
  );
  if (isFailure(outcome)) return outcome;
  const failures: Failure[] = [];
  const entries = outcome.entries.map((entry, index) => {
    if (!isCacheFailure(entry)) return entryJson(entry, namespace, encoding);
    const key = keys[index] ?? "";
    const reason = cacheFailure(context, entry, { namespace, key });
    failures.push(reason);
    const { code, detail } = buildProblem(reason, "", false).body;
    return { key, found: "unknown", code, detail };
  });
  // Where nothing could be read, one answer says why.
  const [first] = failures;
  return first !== undefined && failures.length === entries.length ? first : ok({ entries });
}

async function revalidated(
  context: HttpContext,
  subject: Subject & { readonly key: string },
  { allow_stale: allowStale, consistency = "linearizable", encoding }: cacheSchemas.ReadQuery,
  how: CacheRevalidation,
): Promise<Answer> {
  if (isOn(allowStale) || consistency !== "linearizable") return badField("revalidate", "no `consistency` or `allow_stale` beside it");
  const entry = await readEntry(context, subject, consistency, how);
  if (isFailure(entry)) return entry;
  return entry.found === "absent" ? miss(entry, subject.namespace) : ok(entryJson(entry, subject.namespace, encoding));
}

/** Values; namespaces are in cache-namespaces.ts. */
export const cacheHandlers: Some<Extract<keyof typeof cacheRoutes, ValueRouteId>> = {
  getCached: async ({ params, query }, context) => {
    const { namespace = defaultNamespace, encoding } = query;
    const subject = { namespace, key: params.key };
    if (isOn(query.explain)) {
      const explained = await question<Explained>(context, subject, (cache, timeoutMs, done) =>
        cache.explain(namespace, params.key, timeoutMs, done),
      );
      return isFailure(explained) ? explained : ok(explainedJson(explained));
    }
    if (query.revalidate !== undefined) return revalidated(context, subject, query, query.revalidate);
    const stale = isOn(query.allow_stale);
    if (stale && query.consistency !== undefined && query.consistency !== "stale")
      return badField("allow_stale", `0 beside consistency=${query.consistency}`);
    const entry = await readEntry(context, subject, stale ? "stale" : (query.consistency ?? "linearizable"));
    if (isFailure(entry)) return entry;
    return entry.found === "absent" ? miss(entry, namespace) : ok(entryJson(entry, namespace, encoding));
  },

  putCached: async (call, context) => {
    const { key } = call.params;
    const { namespace = defaultNamespace } = call.query;
    const outcome = await put(context, call, { namespace, key }, call.body);
    if (isFailure(outcome)) return outcome;
    return ok({ key, namespace, version: decimal(outcome.version), state: outcome.state, request_id: outcome.requestId });
  },

  deleteCached: async (call, context) => {
    const { key } = call.params;
    const { namespace = defaultNamespace, if_version, fence_lock: lock, fence } = call.query;
    if ((lock === undefined) !== (fence === undefined))
      return badField(lock === undefined ? "fence_lock" : "fence", "`fence_lock` and `fence` together");
    const condition = conditionOf({ if_version });
    if (isFailure(condition)) return condition;
    const ifFence = fenceOf(lock === undefined || fence === undefined ? undefined : { lock, fence });
    if (isFailure(ifFence)) return ifFence;
    const outcome = await write(context, "delete", () =>
      change<CacheDeleted>(context, call, { namespace, key }, (cache, options, done) =>
        cache.delete({ namespace, key, condition, ifFence }, options, done),
      ),
    );
    if (isFailure(outcome)) return outcome;
    return ok({ deleted: outcome.version > 0, key, namespace, version: decimal(outcome.version), request_id: outcome.requestId });
  },

  incrementCached: async (call, context) => {
    const { key } = call.params;
    const { namespace = defaultNamespace } = call.query;
    const { by = 1, ttl_ms: ttlMs = 0, if_fence } = call.body ?? {};
    const ifFence = fenceOf(if_fence);
    if (isFailure(ifFence)) return ifFence;
    const outcome = await write(context, "increment", () =>
      change<CacheWritten>(context, call, { namespace, key }, (cache, options, done) =>
        cache.increment({ namespace, key, by, ttlMs, ifFence }, options, done),
      ),
    );
    if (isFailure(outcome)) return outcome;
    const { number, version, state, requestId } = outcome;
    if (number === null) return failure("internal", { values: { node: context.config.nodeId } });
    return ok({ key, namespace, value: number, version: decimal(version), state, request_id: requestId });
  },

  invalidateCached: async ({ params, query }, context) => {
    const { namespace = defaultNamespace } = query;
    const { key } = params;
    const outcome = await dropCopies(context, namespace, key);
    return isFailure(outcome) ? outcome : ok({ invalidated: true, key, namespace });
  },

  readCachedKeys: ({ body }, context) => bulk(context, body),

  warmCache: ({ body }, context) => warm(context, body),

  invalidateCache: async (call, context) => {
    const { namespace = defaultNamespace, tag = null, all } = call.body;
    if ((tag === null) === (all === undefined))
      return badField(
        tag === null ? "tag" : "all",
        tag === null ? "a tag, or `all: true` for the whole namespace" : "no `tag` beside `all`",
      );
    const outcome = await change<{ readonly type: "invalidated"; readonly shards: number }>(
      context,
      call,
      { namespace },
      (cache, options, done) => cache.invalidate(namespace, tag, options, done),
    );
    return isFailure(outcome) ? outcome : ok({ invalidated: true, namespace, tag, shards: outcome.shards });
  },
};

export const dropCopies = (context: HttpContext, namespace: string, key: string): Promise<{ readonly type: "dropped" } | Failure> =>
  question<{ readonly type: "dropped" }>(context, { namespace, key }, (cache, timeoutMs, done) =>
    cache.dropCopies(namespace, key, timeoutMs, done),
  );
