import type { RouteId } from "@trivet/contract";
import { defaultNamespace } from "@trivet/engine";
import type { Resource, Verb } from "./policy.ts";

/** Where the names are that a call is about. `every` = it is about no name in particular; `own` = about what belongs to the caller. */
export type Place = "params" | "body" | "lock-set" | CachedPlace | "prefix" | "every" | "own";
/** Of cached values: where a call has the key, or the namespace. Nowhere else is looked: the handlers do not, either. */
type CachedPlace =
  | "cached-params"
  | "cached-path"
  | "cached-query"
  | "cached-body"
  | "cached-bulk"
  | "namespace-params"
  | "namespace-query"
  | "namespace-body";
export interface Right {
  readonly verb: Verb;
  readonly resource: Resource;
  readonly names: Place;
}

const locks = (verb: Verb, names: Place): Right => ({ verb, resource: "locks", names });
const queues = (verb: Verb, names: Place): Right => ({ verb, resource: "queues", names });
/** A cached value is named by namespace and key, `users/42`: a rule may be about a namespace, or about a part of it. */
const cache = (verb: Verb, names: Place): Right => ({ verb, resource: "cache", names });
const cluster = (verb: Verb): Right => ({ verb, resource: "cluster", names: "every" });

/**
 * What each path of the API needs, all of them: a new path does not compile until it stands here. Null = nothing, for probes of whoever
 * starts and stops nodes, and for the documents, which are the same everywhere.
 */
export const rights: Readonly<Record<RouteId, Right | null>> = {
  live: null,
  ready: null,
  s4Health: null,
  openApi: null,

  greeting: cluster("read"),
  getCluster: cluster("read"),
  getRing: cluster("read"),
  metrics: cluster("read"),
  metricsText: cluster("read"),
  raftStatus: cluster("read"),
  raftLeader: cluster("read"),
  listMembers: cluster("read"),
  s4Leader: cluster("read"),
  // The log holds the names and owners of everybody.
  raftLog: cluster("admin"),
  s4Log: cluster("admin"),
  addMember: cluster("admin"),
  removeMember: cluster("admin"),
  replaceMember: cluster("admin"),
  transferLeader: cluster("admin"),
  takeSnapshot: cluster("admin"),
  // Everything there is.
  backupGroup: cluster("admin"),
  auditAnchors: cluster("admin"),
  s4Heartbeat: cluster("admin"),
  // Who may use it at all is decided at the upgrade; a plain GET is told how to upgrade.
  stream: cluster("read"),

  acquireLock: locks("write", "params"),
  releaseLock: locks("write", "params"),
  renewLock: locks("write", "params"),
  upgradeLock: locks("write", "params"),
  downgradeLock: locks("write", "params"),
  cancelWait: locks("write", "params"),
  forceReleaseLock: locks("admin", "params"),
  watchLock: locks("read", "params"),
  getLock: locks("read", "params"),
  listLocks: locks("read", "prefix"),
  acquireLockSet: locks("write", "lock-set"),
  releaseLockSet: locks("write", "lock-set"),
  lockGraph: locks("read", "every"),
  checkFence: locks("read", "body"),
  s0Acquire: locks("write", "params"),
  s0Status: locks("read", "params"),
  s0Release: locks("write", "params"),
  // With the graph of who waits for whom, all of it.
  s0Locks: locks("read", "every"),
  s4Acquire: locks("write", "body"),
  s4Release: locks("write", "body"),
  s4Append: locks("write", "body"),
  s4WaitFor: locks("read", "every"),

  openSession: locks("write", "own"),
  keepSession: locks("write", "own"),
  closeSession: locks("write", "own"),
  getSession: locks("read", "own"),
  listSessions: locks("admin", "every"),
  // Callers of one node share the lanes that requests are numbered in.
  getRequest: locks("read", "every"),

  putQueue: queues("write", "params"),
  patchQueue: queues("write", "params"),
  deleteQueue: queues("admin", "params"),
  getQueue: queues("read", "params"),
  listQueues: queues("read", "prefix"),
  pauseQueue: queues("admin", "params"),
  resumeQueue: queues("admin", "params"),
  produce: queues("write", "params"),
  consume: queues("write", "params"),
  ackMessages: queues("write", "params"),
  nackMessages: queues("write", "params"),
  extendLeases: queues("write", "params"),
  releaseMessages: queues("write", "params"),
  putGroup: queues("write", "params"),
  deleteGroup: queues("admin", "params"),
  browseMessages: queues("read", "params"),
  purgeMessages: queues("admin", "params"),
  deadLetters: queues("read", "params"),
  redriveDeadLetters: queues("write", "params"),
  raiseFence: queues("write", "body"),
  s0Produce: queues("write", "params"),
  s0Consume: queues("write", "params"),
  queueProduce: queues("write", "body"),
  queueConsume: queues("write", "body"),
  // Without the queue's name only its token says which it is.
  queueAck: queues("write", "body"),
  createGroup: queues("write", "body"),

  getCached: cache("read", "cached-params"),
  putCached: cache("write", "cached-params"),
  deleteCached: cache("write", "cached-params"),
  incrementCached: cache("write", "cached-params"),
  invalidateCached: cache("write", "cached-params"),
  readCachedKeys: cache("read", "cached-bulk"),
  warmCache: cache("read", "cached-bulk"),
  invalidateCache: cache("write", "namespace-body"),
  // Of a whole namespace, whatever prefix of keys is asked for.
  watchCache: cache("read", "namespace-query"),
  putNamespace: cache("admin", "namespace-params"),
  patchNamespace: cache("admin", "namespace-params"),
  deleteNamespace: cache("admin", "namespace-params"),
  getNamespace: cache("read", "namespace-params"),
  listNamespaces: cache("read", "every"),
  cacheState: cache("read", "every"),
  cacheVerify: cache("read", "every"),
  s0CacheRead: cache("read", "cached-path"),
  s0CacheWrite: cache("write", "cached-path"),
  s4CacheGet: cache("read", "cached-query"),
  s4CachePut: cache("write", "cached-body"),
  s4CacheInvalidate: cache("write", "cached-body"),
  s4CacheFetch: cache("read", "cached-query"),
  s4CacheState: cache("read", "every"),
};

interface Asked {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}
const fieldOf = (part: unknown, name: string): string | null => {
  const value = typeof part === "object" && part !== null ? (part as Readonly<Record<string, unknown>>)[name] : undefined;
  return typeof value === "string" ? value : null;
};

/** The names a call is about, from its checked parts; null = none that could be limited to a prefix. */
export function namesIn({ resource, names }: Right, asked: Asked): readonly string[] | null {
  const { params, body } = asked;
  const field = resource === "locks" ? "name" : "queue";
  switch (names) {
    case "params":
      return one(fieldOf(params, field));
    case "body":
      return one(fieldOf(body, field));
    case "lock-set": {
      const locks = (body as { readonly locks?: readonly unknown[] } | null)?.locks;
      const each = locks?.map((lock) => fieldOf(lock, "name")) ?? [];
      return each.length > 0 && each.every((name) => name !== null) ? each : null;
    }
    case "cached-params":
      return cached(fieldOf(asked.query, "namespace"), fieldOf(params, "key"));
    case "cached-path":
      return cached(null, fieldOf(params, "key"));
    case "cached-query":
      return cached(null, fieldOf(asked.query, "key"));
    case "cached-body":
      return cached(null, fieldOf(body, "key"));
    case "cached-bulk": {
      const keys = (body as { readonly keys?: readonly unknown[] } | null)?.keys ?? [];
      const each = keys.flatMap((key) => cached(fieldOf(body, "namespace"), typeof key === "string" ? key : null) ?? []);
      return each.length > 0 && each.length === keys.length ? each : null;
    }
    case "namespace-params": {
      const namespace = fieldOf(params, "namespace");
      return namespace === null ? null : [inRules(namespace)];
    }
    case "namespace-query":
      return [inRules(fieldOf(asked.query, "namespace") ?? defaultNamespace)];
    case "namespace-body":
      return [inRules(fieldOf(body, "namespace") ?? defaultNamespace)];
    case "prefix":
    case "every":
    case "own":
      return null;
  }
}
/** The first `/` ends the namespace: one that has a `/` itself is written with %2F, lest `shop/eu` means keys of two namespaces. */
const inRules = (namespace: string): string => namespace.replaceAll("%", "%25").replaceAll("/", "%2F");
const cached = (namespace: string | null, key: string | null): readonly string[] | null =>
  key === null ? null : [`${inRules(namespace ?? defaultNamespace)}/${key}`];
const one = (name: string | null): readonly string[] | null => (name === null ? null : [name]);
export const prefixIn = ({ query }: Asked): string => fieldOf(query, "prefix") ?? "";

/** What a call needs besides, by what it carries: a fence is raised for everybody who writes under that lock; pausing stops all consumers. */
export function furtherNeeds(id: RouteId, { params, query, body }: Asked): readonly { readonly right: Right; readonly name: string }[] {
  const needs: { right: Right; name: string }[] = [];
  const lock = (name: string | null): void => void (name !== null && needs.push({ right: locks("write", "body"), name }));
  const ifFence = (body as { readonly if_fence?: unknown } | null | undefined)?.if_fence;
  lock(fieldOf(ifFence, "lock"));
  lock(fieldOf(query, "fence_lock"));
  if (id === "raiseFence") lock(fieldOf(body, "lock"));
  const queue = fieldOf(params, "queue");
  const pauses = (body as { readonly paused?: unknown } | null | undefined)?.paused !== undefined;
  if ((id === "putQueue" || id === "patchQueue") && pauses && queue !== null) needs.push({ right: queues("admin", "params"), name: queue });
  return needs;
}
