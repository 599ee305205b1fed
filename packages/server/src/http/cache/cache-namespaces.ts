import { httpLimits, type cacheRoutes } from "@trivet/contract";
import type { CacheApi, NamespaceSettings, Verified } from "@trivet/engine";
import { failure, ok, type Answer } from "../answer.ts";
import { cacheOf, change, question } from "./cache-calls.ts";
import { copiesJson, namespaceJson, namespaceSettings, statisticsJson } from "./cache-views.ts";
import { isFailure, type AnyCall, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decodeCursor, encodeCursor } from "../locks/locks.ts";

type Outcome<Method extends "defineNamespace" | "removeNamespace" | "namespace" | "namespaces", Type extends string> = Extract<
  Parameters<Extract<Parameters<CacheApi[Method]>[number], (outcome: never) => void>>[0],
  { readonly type: Type }
>;
type Defined = Outcome<"defineNamespace", "defined">;

const define = (
  context: HttpContext,
  call: AnyCall,
  name: string,
  settings: Partial<NamespaceSettings>,
  mode: "create" | "update" | "ensure",
): ReturnType<typeof change<Defined>> =>
  change<Defined>(context, call, { namespace: name }, (cache, options, done) => cache.defineNamespace(name, settings, mode, options, done));

type NamespaceRouteId =
  | "putNamespace"
  | "patchNamespace"
  | "deleteNamespace"
  | "getNamespace"
  | "listNamespaces"
  | "cacheState"
  | "cacheVerify";

/** Namespaces, and what can be said of the cache as a whole. */
export const namespaceHandlers: Some<Extract<keyof typeof cacheRoutes, NamespaceRouteId>> = {
  putNamespace: async (call, context) => {
    const mode = call.request.headers["if-none-match"] === "*" ? "create" : "ensure";
    const outcome = await define(context, call, call.params.namespace, namespaceSettings(call.body ?? {}), mode);
    if (isFailure(outcome)) return outcome;
    return ok({ ...namespaceJson(outcome.namespace), created: outcome.created }, outcome.created ? 201 : 200);
  },

  patchNamespace: async (call, context) => {
    const outcome = await define(context, call, call.params.namespace, namespaceSettings(call.body), "update");
    return isFailure(outcome) ? outcome : ok(namespaceJson(outcome.namespace));
  },

  deleteNamespace: async (call, context) => {
    const name = call.params.namespace;
    const outcome = await change<{ readonly type: "removed" }>(context, call, { namespace: name }, (cache, options, done) =>
      cache.removeNamespace(name, options, done),
    );
    return isFailure(outcome) ? outcome : ok({ deleted: true, name });
  },

  getNamespace: async ({ params }, context) => {
    const name = params.namespace;
    const outcome = await question<Outcome<"namespace", "namespace">>(context, { namespace: name }, (cache, timeoutMs, done) =>
      cache.namespace(name, timeoutMs, done),
    );
    return isFailure(outcome) ? outcome : ok(namespaceJson(outcome.namespace));
  },

  listNamespaces: async ({ query }, context) => {
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const { prefix = "", limit = httpLimits.defaultPageItems } = query;
    const outcome = await question<Outcome<"namespaces", "listed">>(context, { namespace: prefix }, (cache, timeoutMs, done) =>
      cache.namespaces(prefix, cursor, limit, timeoutMs, done),
    );
    if (isFailure(outcome)) return outcome;
    return ok({ namespaces: outcome.namespaces.map(namespaceJson), next_cursor: encodeCursor(outcome.next) });
  },

  cacheState: ({ query }, context) => {
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const cache = cacheOf(context);
    const page = cache.state(cursor, query.limit ?? httpLimits.defaultPageItems);
    const statistics = cache.statistics();
    const { entries, bytes, maxEntries, maxBytes, policy } = statistics;
    return ok({
      node_id: context.config.nodeId,
      keys: copiesJson(page),
      next_cursor: encodeCursor(page.next),
      entries,
      bytes,
      max_entries: maxEntries,
      max_bytes: maxBytes,
      policy,
      statistics: statisticsJson(statistics),
    });
  },

  cacheVerify: async (_call, context) => {
    const outcome = await question<Verified>(context, { namespace: "" }, (cache, timeoutMs, done) => cache.verify(timeoutMs, done));
    return isFailure(outcome) ? outcome : verifiedJson(outcome);
  },
};

/** What is wrong is told whoever is silent; that nothing is wrong can be said only when all have answered. */
function verifiedJson({ ok: holds, keysChecked, violations, silent, truncated }: Verified): Answer {
  const [first] = violations;
  if (first === undefined && silent.length > 0)
    return failure("peer_silent", { values: { nodes: silent.join(", ") }, members: { nodes: [...silent] }, retryAfterMs: 1_000 });
  return ok({
    ok: holds && first === undefined,
    keys_checked: keysChecked,
    violations: violations.map(({ invariant, namespace, key, detail }) => ({ invariant, namespace, key, detail })),
    silent: [...silent],
    truncated: [...truncated],
  });
}
