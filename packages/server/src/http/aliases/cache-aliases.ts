import { httpLimits, reservedCacheWords, type cacheAliasRoutes } from "@trivet/contract";
import { defaultNamespace, type CacheEntry } from "@trivet/engine";
import { hitRatio, transitionCount } from "../../observability/cache-metrics.ts";
import { badField, ok, type Failure } from "../answer.ts";
import { cacheOf, question } from "../cache/cache-calls.ts";
import { plainValue } from "../cache/cache-content.ts";
import { dropCopies, miss, putPlain, readEntry } from "../cache/cache.ts";
import { isFailure, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decodeCursor, encodeCursor } from "../locks/locks.ts";
import { decimal } from "../outcomes.ts";

/** under `/cache/` these words are paths of S4 and S3, never keys; a call in the other style is told so. */
function reserved(key: string): Failure | null {
  if (!(reservedCacheWords as readonly string[]).includes(key)) return null;
  return badField(
    "key",
    `a key other than ${reservedCacheWords.join(", ")}; /v1/cache/${key} takes it, and so do GET /cache/get?key=${key} and POST /cache/put`,
  );
}
/** A call without key, in S0's style, means a key of that name. */
const keyMissing = (word: string): Failure =>
  badField("key", `needed in the query, but missing; a key called ${word} is read at /v1/cache/${word}`);

/** S0 and S4 know four states; a copy that nobody may read yet, or any more, is none to them. */
type Mesi = "M" | "E" | "S" | "I";
const mesi = (state: string): Mesi => (state === "M" || state === "E" || state === "S" ? state : "I");

const both = (value: unknown, state: string): Readonly<Record<string, unknown>> => ({
  data: value,
  value,
  cache_state: mesi(state),
  state: mesi(state),
});

const read = (context: HttpContext, key: string): Promise<CacheEntry | Failure> =>
  readEntry(context, { namespace: defaultNamespace, key }, "linearizable");

export const cacheAliasHandlers: Some<keyof typeof cacheAliasRoutes> = {
  s0CacheRead: async ({ params }, context) => {
    const word = reserved(params.key);
    if (word !== null) return word;
    const entry = await read(context, params.key);
    if (isFailure(entry)) return entry;
    if (entry.found !== "value") return miss(entry, defaultNamespace);
    const { key, value, state, source, version } = entry;
    return ok({ key, ...both(plainValue(value), state), source, version: decimal(version) });
  },

  s0CacheWrite: async (call, context) => {
    const { key } = call.params;
    const word = reserved(key);
    if (word !== null) return word;
    const outcome = await putPlain(context, call, key, call.body);
    if (isFailure(outcome)) return outcome;
    const { value } = call.body;
    return ok({
      status: "ok",
      success: true,
      key,
      new_data: value,
      ...both(value, outcome.state),
      version: decimal(outcome.version),
    });
  },

  s4CacheGet: async ({ query }, context) => {
    if (query.key === undefined) return keyMissing("get");
    const entry = await read(context, query.key);
    if (isFailure(entry)) return entry;
    const { key, found, value, state, version } = entry;
    const source = found === "value" ? entry.source : null;
    return ok({ success: true, key, ...both(plainValue(value), state), source, version: decimal(version) });
  },

  s4CachePut: async (call, context) => {
    const { key, ...body } = call.body;
    const outcome = await putPlain(context, call, key, body);
    if (isFailure(outcome)) return outcome;
    const state = mesi(outcome.state);
    return ok({ success: true, status: "ok", key, cache_state: state, state, version: decimal(outcome.version) });
  },

  s4CacheInvalidate: async ({ body }, context) => {
    const { key } = body;
    const outcome = await dropCopies(context, defaultNamespace, key);
    return isFailure(outcome) ? outcome : ok({ success: true, status: "ok", key });
  },

  s4CacheFetch: async ({ query }, context) => {
    const { key, from = null } = query;
    if (key === undefined) return keyMissing("fetch");
    const subject = { namespace: defaultNamespace, key };
    const outcome = await question<(CacheEntry & { readonly node: string }) | { readonly type: "no-copy" }>(
      context,
      subject,
      (cache, timeoutMs, done) => cache.fetchCopy(subject.namespace, key, from, timeoutMs, done),
    );
    if (isFailure(outcome)) return outcome;
    if (outcome.type === "no-copy") return ok({ success: true, key, ...both(null, "I"), source: null, version: "0", node: null });
    const { value, state, version, node } = outcome;
    return ok({ success: true, key, ...both(plainValue(value), state), source: "peer", version: decimal(version), node });
  },

  s4CacheState: ({ query }, context) => {
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const cache = cacheOf(context);
    const page = cache.state(cursor, query.limit ?? httpLimits.maxPageItems);
    const statistics = cache.statistics();
    const own = page.keys.filter(({ namespace }) => namespace === defaultNamespace);
    return ok({
      // Built from entries with defined properties: a key may be `__proto__`.
      cache_state: Object.fromEntries(
        own.map(({ key, state, ageMs }) => [key, { state: mesi(state), age: Math.max(0, Math.round(ageMs)) / 1_000 }]),
      ),
      metrics: {
        hits: statistics.hits,
        misses: statistics.misses,
        invalidations_sent: statistics.invalidationsSent,
        invalidations_received: statistics.invalidationsReceived,
        state_transitions: transitionCount(statistics),
        hit_ratio: hitRatio(statistics),
      },
      capacity_used: statistics.entries,
      capacity_total: statistics.maxEntries,
      node_id: context.config.nodeId,
      next_cursor: encodeCursor(page.next),
    });
  },
};
