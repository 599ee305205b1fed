import type { RouteId } from "@trivet/contract";
import { defaultNamespace } from "@trivet/engine";
import type { Resource, Verb } from "./policy.ts";

/** Where the names are that a call is about. `every` = it is about no name in particular; `own` = about what belongs to the caller. */
export type Place = "params" | "body" | "lock-set" | "cached" | "namespace" | "prefix" | "every" | "own";
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
  s0Locks: locks("read", "prefix"),
  s4Acquire: locks("write", "body"),
  s4Release: locks("write", "body"),
  s4Append: locks("write", "body"),
  s4WaitFor: locks("read", "every"),

  openSession: locks("write", "own"),
  keepSession: locks("write", "own"),
  closeSession: locks("write", "own"),
  getSession: locks("read", "own"),
  listSessions: locks("admin", "every"),
  getRequest: locks("read", "own"),

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

  getCached: cache("read", "cached"),
  putCached: cache("write", "cached"),
  deleteCached: cache("write", "cached"),
  incrementCached: cache("write", "cached"),
  invalidateCached: cache("write", "cached"),
  readCachedKeys: cache("read", "cached"),
  invalidateCache: cache("write", "namespace"),
  // Of a whole namespace, whatever prefix of keys is asked for.
  watchCache: cache("read", "namespace"),
  putNamespace: cache("admin", "namespace"),
  patchNamespace: cache("admin", "namespace"),
  deleteNamespace: cache("admin", "namespace"),
  getNamespace: cache("read", "namespace"),
  listNamespaces: cache("read", "every"),
  cacheState: cache("read", "every"),
  cacheVerify: cache("read", "every"),
  s0CacheRead: cache("read", "cached"),
  s0CacheWrite: cache("write", "cached"),
  s4CacheGet: cache("read", "cached"),
  s4CachePut: cache("write", "cached"),
  s4CacheInvalidate: cache("write", "cached"),
  s4CacheFetch: cache("read", "cached"),
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
    case "cached":
      return cachedIn(asked);
    case "namespace":
      return [namespaceIn(asked)];
    case "prefix":
    case "every":
    case "own":
      return null;
  }
}
const anywhere = ({ params, query, body }: Asked, name: string): string | null =>
  fieldOf(params, name) ?? fieldOf(query, name) ?? fieldOf(body, name);
const namespaceIn = (asked: Asked): string => anywhere(asked, "namespace") ?? defaultNamespace;

function cachedIn(asked: Asked): readonly string[] | null {
  const within = (key: string): string => `${namespaceIn(asked)}/${key}`;
  const keys = (asked.body as { readonly keys?: unknown } | null)?.keys;
  if (Array.isArray(keys)) return keys.every((key) => typeof key === "string") && keys.length > 0 ? keys.map(within) : null;
  const key = anywhere(asked, "key");
  return key === null ? null : [within(key)];
}
const one = (name: string | null): readonly string[] | null => (name === null ? null : [name]);
export const prefixIn = ({ query }: Asked): string => fieldOf(query, "prefix") ?? "";
