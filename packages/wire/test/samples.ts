import type { Command, CommandType, DefinedNamespace, Result, ResultType } from "@trivet/wire";

const actor = { session: 300, principal: "alice", owner: "flow-1" };
const holder = { owner: "flow-2", session: 7, mode: "update", fence: 99 } as const;
/** Another value in every field, so that none can change places with its neighbour. */
const settings = {
  partitions: 4,
  visibilityMs: 30_000,
  maxDeliveries: 20,
  maxAcquired: 100,
  backoffMs: 1000,
  maxMessages: 1_000_000,
  maxBytes: 7,
  ttlMs: 86_400_000,
  dedupeWindowMs: 300_000,
  maxLeased: 9,
  ratePerSecond: 50,
  paused: true,
};
const queue = { queue: 3, definition: { name: "jobs", version: 5, ...settings }, createdAt: 1_790_000_000_000 };

/** At least one of every type, by the name its golden vector has: the types make sure that none is forgotten. */
const namespace: DefinedNamespace = {
  namespace: 2,
  name: "users",
  version: 3,
  settings: {
    mode: "ttl",
    staleMs: 500,
    ttlMs: 60_000,
    negativeTtlMs: 1000,
    maxEntries: 10,
    maxBytes: 4096,
    write: "here",
    maxBehind: 0,
    revalidateMs: 0,
    compressOver: 0,
    copyEntries: 5,
    copyBytes: 2048,
    policy: "sieve",
    origin: "none",
  },
  createdAt: 1_700_000_000_000,
};
/** As before there were origins, and writes to them. */
const {
  compressOver: _compressOver,
  maxBehind: _maxBehind,
  origin: _origin,
  revalidateMs: _revalidateMs,
  write: _write,
  ...withoutOrigin
} = namespace.settings;

export const commandSamples: { readonly [T in CommandType]: readonly Extract<Command, { type: T }>[] } = {
  nothing: [{ type: "nothing" }],
  "open-session": [{ type: "open-session", ttlMs: 10_000, lockDelayMs: 15, principal: "alice", label: "höst 1" }],
  "close-session": [{ type: "close-session", session: 2 ** 40 }],
  acquire: [
    {
      type: "acquire",
      actor,
      keys: [{ name: "orders/42", mode: "exclusive", of: 0 }],
      ttlMs: 0,
      waitMs: 5000,
      reentrant: false,
      anonymous: false,
    },
    {
      type: "acquire",
      actor: { session: 0, principal: "", owner: "" },
      keys: [
        { name: "a", mode: "shared", of: 0 },
        { name: "漢", mode: "update", of: 0 },
        { name: "pool", mode: "permit", of: 12 },
      ],
      ttlMs: 30_000,
      waitMs: 0,
      reentrant: true,
      anonymous: true,
    },
  ],
  release: [
    { type: "release", actor, name: "orders/42", fence: 1_099_511_627_777, anonymous: false },
    { type: "release", actor: { session: 0, principal: "p", owner: "" }, name: "a", fence: 0, anonymous: true },
  ],
  "release-set": [
    {
      type: "release-set",
      actor,
      locks: [
        { name: "a", fence: 1 },
        { name: "b", fence: 128 },
      ],
    },
  ],
  upgrade: [{ type: "upgrade", actor, name: "a", fence: 5, mode: "exclusive", waitMs: 100 }],
  downgrade: [{ type: "downgrade", actor, name: "a", fence: 5, mode: "shared" }],
  "set-lease": [{ type: "set-lease", actor, name: "a", fence: 5, ttlMs: 60_000 }],
  cancel: [
    { type: "cancel", actor, name: "", caller: "3f2a", sequence: 17 },
    { type: "cancel", actor, name: "a", caller: "", sequence: 0 },
  ],
  "force-release": [{ type: "force-release", principal: "root", name: "a", fence: 0, reason: "stuck since Monday" }],
  expire: [
    { type: "expire", kind: "session", id: 1 },
    { type: "expire", kind: "grant", id: 2 },
    { type: "expire", kind: "wait", id: 3 },
    { type: "expire", kind: "lock-delay", id: 4 },
  ],
  "set-node": [{ type: "set-node", node: "node1", storage: "0a1b2c", url: "http://127.0.0.1:8001", roles: "lock,queue", voter: true }],
  "forget-node": [{ type: "forget-node", node: "node1" }],
  "replace-node": [{ type: "replace-node", node: "node1", storage: "0a1b2c" }],
  "drain-node": [{ type: "drain-node", node: "node1", draining: true }],
  "define-queue": [
    { type: "define-queue", name: "jobs", mode: "create", settings, principal: "alice" },
    { type: "define-queue", name: "jobs", mode: "update", settings: { backoffMs: 0, paused: false }, principal: "" },
    { type: "define-queue", name: "漢", mode: "ensure", settings: {}, principal: "alice" },
  ],
  "delete-queue": [{ type: "delete-queue", name: "jobs", principal: "alice" }],
  "set-placement": [
    {
      type: "set-placement",
      epoch: 0,
      replication: 3,
      shards: [
        ["n1", "n2"],
        ["n2", "n1"],
      ],
    },
  ],
  "raise-level": [{ type: "raise-level", level: 3 }],
  "anchor-audit": [
    { type: "anchor-audit", node: "node1", chain: "0a1b2c", head: { seq: 1, mac: "ab".repeat(32) }, before: null },
    {
      type: "anchor-audit",
      node: "node1",
      chain: "0a1b2c",
      head: { seq: 300, mac: "0f".repeat(32) },
      before: { seq: 1, mac: "ab".repeat(32) },
    },
  ],
  "define-namespace": [
    { type: "define-namespace", name: "users", mode: "ensure", settings: withoutOrigin, principal: "alice" },
    { type: "define-namespace", name: "users", mode: "update", settings: { ttlMs: 1000 }, principal: "" },
    { type: "define-namespace", name: "users", mode: "update", settings: { origin: "postgres" }, principal: "" },
  ],
  "delete-namespace": [{ type: "delete-namespace", name: "users", principal: "alice" }],
};

export const resultSamples: { readonly [T in ResultType]: readonly Extract<Result, { type: T }>[] } = {
  done: [{ type: "done" }],
  "session-opened": [{ type: "session-opened", session: 300, ttlMs: 10_000 }],
  granted: [
    { type: "granted", fence: 1_099_511_627_777, owner: "", mode: "exclusive", depth: 1, more: [] },
    { type: "granted", fence: 9, owner: "anon-1", mode: "shared", depth: 2, more: [{ name: "b", fence: 10, mode: "permit" }] },
  ],
  released: [
    { type: "released", fence: 9, remaining: 0, grantedTo: [] },
    { type: "released", fence: 9, remaining: 2, grantedTo: ["flow-2", "flow-3"] },
  ],
  busy: [
    { type: "busy", waited: false, name: "a", holders: [holder], waiters: 3 },
    { type: "busy", waited: true, name: "a", holders: [], waiters: 0 },
  ],
  deadlock: [
    {
      type: "deadlock",
      cycle: [
        { owner: "A", waitsFor: "x", mode: "exclusive", heldBy: "B" },
        { owner: "B", waitsFor: "y", mode: "shared", heldBy: "A" },
      ],
    },
  ],
  cancelled: [{ type: "cancelled" }],
  "not-held": [{ type: "not-held", name: "a", holders: [holder] }],
  "stale-fence": [{ type: "stale-fence", name: "a", fence: 9 }],
  "not-found": [
    { type: "not-found", what: "lock" },
    { type: "not-found", what: "session" },
    { type: "not-found", what: "wait" },
    { type: "not-found", what: "node" },
  ],
  "session-lost": [{ type: "session-lost", session: 300 }],
  quota: [{ type: "quota", limit: "locks per session", max: 10_000 }],
  conflict: [
    { type: "conflict", reason: "semaphore-size", detail: "is 3" },
    { type: "conflict", reason: "lock-kind", detail: "" },
    { type: "conflict", reason: "already-waiting", detail: "" },
    { type: "conflict", reason: "not-upgradable", detail: "" },
    { type: "conflict", reason: "mode", detail: "" },
  ],
  malformed: [{ type: "malformed", detail: "unknown command type 99" }],
  refused: [
    { type: "refused", reason: "past-deadline" },
    { type: "refused", reason: "already-acknowledged" },
    { type: "refused", reason: "window-full" },
    { type: "refused", reason: "other-body" },
    { type: "refused", reason: "too-many-callers" },
    { type: "refused", reason: "out-of-order" },
  ],
  "queue-defined": [{ type: "queue-defined", created: true, ...queue }],
  "queue-refused": [
    { type: "queue-refused", reason: "exists", ...queue },
    { type: "queue-refused", reason: "unknown" },
    { type: "queue-refused", reason: "fixed", field: "partitions", value: 4, asked: 8 },
    { type: "queue-refused", reason: "too-many", max: 10_000 },
    { type: "queue-refused", reason: "invalid", detail: "partitions is 0" },
  ],
  "queue-deleted": [{ type: "queue-deleted", queue: 3 }],
  "placement-set": [{ type: "placement-set", epoch: 2 }],
  "placement-refused": [{ type: "placement-refused", epoch: 7 }],
  "namespace-defined": [
    { type: "namespace-defined", created: true, ...namespace },
    { type: "namespace-defined", created: true, ...namespace, settings: { ...namespace.settings, origin: "redis" } },
  ],
  "namespace-refused": [
    { type: "namespace-refused", reason: "exists", ...namespace },
    { type: "namespace-refused", reason: "unknown" },
    { type: "namespace-refused", reason: "fixed", field: "mode", value: "ttl", asked: "strict" },
    { type: "namespace-refused", reason: "too-many", max: 1000 },
    { type: "namespace-refused", reason: "invalid", detail: "stale_ms is 0" },
    { type: "namespace-refused", reason: "standing" },
  ],
  "namespace-deleted": [{ type: "namespace-deleted", namespace: 2 }],
  "anchor-refused": [
    { type: "anchor-refused", last: { seq: 7, mac: "ab".repeat(32) } },
    { type: "anchor-refused", last: null },
  ],
};
