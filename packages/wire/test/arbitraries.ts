import * as fc from "fast-check";
import {
  type Command,
  type CommandType,
  type Result,
  type ResultType,
  cacheModes,
  commandNumbers,
  conflictReasons,
  defineModes,
  expiryKinds,
  limits,
  lockModes,
  maxBegun,
  originNames,
  originWrites,
  policyNames,
  refusalReasons,
  resultNumbers,
  utf8Length,
} from "@trivet/wire";

const uint = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 0x7fff_ffff }),
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
);
const duration = fc.integer({ min: 0, max: limits.maxDurationMs });

/** Text of at most `max` bytes, often ASCII, sometimes of every plane. */
function text(max: number, min = 0): fc.Arbitrary<string> {
  return fc
    .oneof(
      fc.string({ minLength: min, maxLength: Math.min(max, 80), unit: "grapheme-ascii" }),
      fc.string({ minLength: min, maxLength: Math.min(max, 60), unit: "binary" }),
      fc.string({ minLength: min, maxLength: max, unit: fc.constantFrom("a", "ß", "漢") }),
    )
    .filter((value) => utf8Length(value) <= max);
}
const identity = text(limits.maxIdentityBytes);
const name = text(limits.maxNameBytes, 1);
const detail = text(limits.maxDetailBytes);
const mode = fc.constantFrom(...lockModes);
const actor = fc.record({ session: uint, principal: identity, owner: identity });
const key = mode.chain((mode) =>
  fc.record({
    name,
    mode: fc.constant(mode),
    of: mode === "permit" ? fc.integer({ min: 1, max: limits.maxPermits }) : fc.constant(0),
  }),
);
/** Any of the settings, each there or not. */
const settings = fc.record(
  {
    partitions: uint,
    visibilityMs: uint,
    maxDeliveries: uint,
    maxAcquired: uint,
    backoffMs: uint,
    maxMessages: uint,
    maxBytes: uint,
    ttlMs: uint,
    dedupeWindowMs: uint,
    maxLeased: uint,
    ratePerSecond: uint,
    paused: fc.boolean(),
  },
  { requiredKeys: [] },
);

const namespaceSettings = {
  mode: fc.constantFrom(...cacheModes),
  staleMs: uint,
  ttlMs: uint,
  negativeTtlMs: uint,
  write: fc.constantFrom(...originWrites),
  maxBehind: uint,
  revalidateMs: uint,
  compressOver: uint,
  maxEntries: uint,
  maxBytes: uint,
  copyEntries: uint,
  copyBytes: uint,
  policy: fc.constantFrom(...policyNames),
  origin: fc.constantFrom(...originNames),
};
const namespace = { namespace: uint, name, version: uint, settings: fc.record(namespaceSettings), createdAt: uint };
const mark = fc.record({
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  mac: fc.string({
    minLength: limits.auditMacBytes,
    maxLength: limits.auditMacBytes,
    unit: fc.constantFrom(...Array.from("0123456789abcdef")),
  }),
});
const namespaceRefused = fc.constant("namespace-refused" as const);

/** One arbitrary per type: a new command without one does not compile. */
export const commandArbitraries: { readonly [T in CommandType]: fc.Arbitrary<Extract<Command, { type: T }>> } = {
  nothing: fc.record({ type: fc.constant("nothing") }),
  "open-session": fc.record({
    type: fc.constant("open-session"),
    ttlMs: duration,
    lockDelayMs: duration,
    principal: identity,
    label: identity,
  }),
  "close-session": fc.record({ type: fc.constant("close-session"), session: uint }),
  acquire: fc.record({
    type: fc.constant("acquire"),
    actor,
    keys: fc.array(key, { minLength: 1, maxLength: limits.maxKeysPerSet }),
    ttlMs: duration,
    waitMs: duration,
    reentrant: fc.boolean(),
    anonymous: fc.boolean(),
  }),
  release: fc.record({ type: fc.constant("release"), actor, name, fence: uint, anonymous: fc.boolean() }),
  "release-set": fc.record({
    type: fc.constant("release-set"),
    actor,
    locks: fc.array(fc.record({ name, fence: uint }), { minLength: 1, maxLength: limits.maxKeysPerSet }),
  }),
  upgrade: fc.record({ type: fc.constant("upgrade"), actor, name, fence: uint, mode, waitMs: duration }),
  downgrade: fc.record({ type: fc.constant("downgrade"), actor, name, fence: uint, mode }),
  "set-lease": fc.record({ type: fc.constant("set-lease"), actor, name, fence: uint, ttlMs: duration }),
  cancel: fc
    .record({ type: fc.constant("cancel"), actor, name: text(limits.maxNameBytes), caller: text(limits.maxCallerBytes), sequence: uint })
    .filter((cancel) => cancel.name !== "" || cancel.caller !== ""),
  "force-release": fc.record({ type: fc.constant("force-release"), principal: identity, name, fence: uint, reason: detail }),
  expire: fc.record({ type: fc.constant("expire"), kind: fc.constantFrom(...expiryKinds), id: uint }),
  "set-node": fc.record({
    type: fc.constant("set-node"),
    node: identity,
    storage: identity,
    url: text(limits.maxUrlBytes),
    roles: identity,
    voter: fc.boolean(),
  }),
  "forget-node": fc.record({ type: fc.constant("forget-node"), node: identity }),
  "replace-node": fc.record({ type: fc.constant("replace-node"), node: identity, storage: identity }),
  "drain-node": fc.record({ type: fc.constant("drain-node"), node: identity, draining: fc.boolean() }),
  "define-queue": fc.record({
    type: fc.constant("define-queue"),
    name,
    mode: fc.constantFrom(...defineModes),
    settings,
    principal: identity,
  }),
  "delete-queue": fc.record({ type: fc.constant("delete-queue"), name, principal: identity }),
  "define-namespace": fc.record({
    type: fc.constant("define-namespace"),
    name,
    mode: fc.constantFrom(...defineModes),
    settings: fc.record(namespaceSettings, { requiredKeys: [] }),
    principal: identity,
  }),
  "delete-namespace": fc.record({ type: fc.constant("delete-namespace"), name, principal: identity }),
  "raise-level": fc.record({ type: fc.constant("raise-level"), level: uint }),
  "anchor-audit": fc.record({
    type: fc.constant("anchor-audit"),
    node: identity,
    chain: text(limits.maxAuditChainBytes, 1),
    head: mark,
    before: fc.option(mark),
  }),
  "set-placement": fc.record({
    type: fc.constant("set-placement"),
    epoch: uint,
    replication: uint,
    shards: fc.array(fc.array(identity, { maxLength: 5 }), { maxLength: 20 }),
  }),
};

const holders = fc.array(fc.record({ owner: identity, session: uint, mode, fence: uint }), { maxLength: 8 });
export const definition = fc.record({
  name,
  version: uint,
  partitions: fc.integer({ min: 1, max: limits.maxPartitions }),
  visibilityMs: duration,
  maxDeliveries: uint,
  maxAcquired: uint,
  backoffMs: duration,
  maxMessages: uint,
  maxBytes: uint,
  ttlMs: uint,
  dedupeWindowMs: uint,
  maxLeased: uint,
  ratePerSecond: uint,
  paused: fc.boolean(),
});
const queue = {
  queue: uint,
  definition,
  createdAt: uint,
};
const queueRefused = fc.constant("queue-refused" as const);

export const resultArbitraries: { readonly [T in ResultType]: fc.Arbitrary<Extract<Result, { type: T }>> } = {
  done: fc.record({ type: fc.constant("done") }),
  "session-opened": fc.record({ type: fc.constant("session-opened"), session: uint, ttlMs: duration }),
  granted: fc.record({
    type: fc.constant("granted"),
    fence: uint,
    owner: identity,
    mode,
    depth: fc.oneof(fc.constant(1), uint),
    more: fc.array(fc.record({ name, fence: uint, mode }), { maxLength: limits.maxKeysPerSet }),
  }),
  released: fc.record({
    type: fc.constant("released"),
    fence: uint,
    remaining: fc.oneof(fc.constant(0), uint),
    grantedTo: fc.array(identity, { maxLength: 8 }),
  }),
  busy: fc.record({ type: fc.constant("busy"), waited: fc.boolean(), name, holders, waiters: uint }),
  deadlock: fc.record({
    type: fc.constant("deadlock"),
    cycle: fc.array(fc.record({ owner: identity, waitsFor: name, mode, heldBy: identity }), { maxLength: 8 }),
  }),
  cancelled: fc.record({ type: fc.constant("cancelled") }),
  "not-held": fc.record({ type: fc.constant("not-held"), name, holders }),
  "stale-fence": fc.record({ type: fc.constant("stale-fence"), name, fence: uint }),
  "not-found": fc.record({ type: fc.constant("not-found"), what: fc.constantFrom("lock", "session", "wait", "node") }),
  "session-lost": fc.record({ type: fc.constant("session-lost"), session: uint }),
  quota: fc.record({ type: fc.constant("quota"), limit: detail, max: uint }),
  conflict: fc.record({ type: fc.constant("conflict"), reason: fc.constantFrom(...conflictReasons), detail }),
  malformed: fc.record({ type: fc.constant("malformed"), detail }),
  refused: fc.record({ type: fc.constant("refused"), reason: fc.constantFrom(...refusalReasons) }),
  "queue-defined": fc.record({ type: fc.constant("queue-defined"), created: fc.boolean(), ...queue }),
  "queue-refused": fc.oneof(
    fc.record({ type: queueRefused, reason: fc.constant("exists" as const), ...queue }),
    fc.record({ type: queueRefused, reason: fc.constant("unknown" as const) }),
    fc.record({
      type: queueRefused,
      reason: fc.constant("fixed" as const),
      field: fc.constant("partitions" as const),
      value: uint,
      asked: uint,
    }),
    fc.record({ type: queueRefused, reason: fc.constant("too-many" as const), max: uint }),
    fc.record({ type: queueRefused, reason: fc.constant("invalid" as const), detail }),
  ),
  "queue-deleted": fc.record({ type: fc.constant("queue-deleted"), queue: uint }),
  "placement-set": fc.record({ type: fc.constant("placement-set"), epoch: uint }),
  "placement-refused": fc.record({ type: fc.constant("placement-refused"), epoch: uint }),
  "namespace-defined": fc.record({ type: fc.constant("namespace-defined"), created: fc.boolean(), ...namespace }),
  "namespace-refused": fc.oneof(
    fc.record({ type: namespaceRefused, reason: fc.constant("exists" as const), ...namespace }),
    fc.record({ type: namespaceRefused, reason: fc.constantFrom("unknown" as const, "standing" as const) }),
    fc.record({
      type: namespaceRefused,
      reason: fc.constant("fixed" as const),
      field: fc.constant("mode" as const),
      value: fc.constantFrom(...cacheModes),
      asked: fc.constantFrom(...cacheModes),
    }),
    fc.record({ type: namespaceRefused, reason: fc.constant("too-many" as const), max: uint }),
    fc.record({ type: namespaceRefused, reason: fc.constant("invalid" as const), detail }),
  ),
  "namespace-deleted": fc.record({ type: fc.constant("namespace-deleted"), namespace: uint }),
  "anchor-refused": fc.record({ type: fc.constant("anchor-refused"), last: fc.option(mark) }),
};

export const anyCommand: fc.Arbitrary<Command> = fc.oneof(...Object.values(commandArbitraries));
export const anyResult: fc.Arbitrary<Result> = fc.oneof(...Object.values(resultArbitraries));
export const commandTypes = Object.keys(commandNumbers) as readonly CommandType[];
export const resultTypes = Object.keys(resultNumbers) as readonly ResultType[];
export const anyText = text;
export const anyBegun = fc.record({
  messages: fc.integer({ min: 0, max: maxBegun }),
  partitions: fc
    .uniqueArray(fc.integer({ min: 0, max: limits.maxPartitions - 1 }), { maxLength: 5 })
    .map((partitions) => partitions.sort((a, b) => a - b)),
});
export const anyUint = uint;

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
}
