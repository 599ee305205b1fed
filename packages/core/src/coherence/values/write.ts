import { mutant } from "#mutation";
import {
  type CacheConflict,
  type CacheDelete,
  type CacheIncrement,
  type CachePut,
  decodeUtf8,
  encodeUtf8,
  type NamespaceDefinition,
  type Packing,
  type ShardResult,
  type WriteCondition,
} from "@trivet/wire";
import { later } from "../../queues/calendar.ts";
import type { ShardContext } from "../../queues/context.ts";
import { checkFence } from "../../queues/fences.ts";
import type { ValueRecord } from "./records.ts";
import { backlogFull, queuedWrite, queueWrite, type StoredBytes } from "./outbox.ts";
import {
  invalidatedAt,
  liveValue,
  nextVersion,
  noteRemoval,
  removedAt,
  removeValue,
  shardBytes,
  storedValue,
  storeValue,
  tokenFloor,
  useOf,
  weightOf,
} from "./value-table.ts";

/** All or nothing. Conditions are decided here and nowhere else (rule M8). */
export function put(shard: ShardContext, definition: NamespaceDefinition, command: CachePut): ShardResult {
  const { ifFence, key, namespace, tags, value } = command;
  const behind = ifFence === null ? null : checkFence(shard, ifFence.lock, ifFence.fence);
  if (behind !== null) return behind;
  const known = knownValue(shard, definition, namespace, key);
  if (isUnloaded(definition, known, command.condition)) return { type: "cache-unloaded" };
  const conflict = conflictWith(command.condition, known) ?? (isTokenStale(shard, definition, command) ? "token" : null);
  if (conflict !== null) return { type: "cache-conflict", reason: conflict, version: known?.version ?? 0 };
  const ttlMs = command.ttlMs > 0 ? command.ttlMs : value === null ? definition.negativeTtlMs : definition.ttlMs;
  const endsAt = endOf(shard, definition, ttlMs, value !== null);
  // What a loader brings is what its source has: it is not written there.
  const isBehind = definition.write === "behind" && (command.token === null || mutant("behind-loads-written"));
  const packed = command.packing === undefined ? {} : { packing: command.packing };
  return store(shard, definition, namespace, key, { value, ...packed, tags: [...new Set(tags)], endsAt }, null, isBehind);
}

/** A whole number: what is there, or 0, and so much more. Keeps the end and the tags of what is there. */
export function increment(shard: ShardContext, definition: NamespaceDefinition, command: CacheIncrement): ShardResult {
  const { ifFence, key, namespace } = command;
  const behind = ifFence === null ? null : checkFence(shard, ifFence.lock, ifFence.fence);
  if (behind !== null) return behind;
  const known = knownValue(shard, definition, namespace, key);
  if (isUnloaded(definition, known, null)) return { type: "cache-unloaded" };
  const before = known === undefined || known.value === null ? 0 : wholeNumber(known);
  const number = before === null ? Number.NaN : before + command.by;
  if (!Number.isSafeInteger(number)) return { type: "cache-not-a-number" };
  const ttlMs = command.ttlMs > 0 ? command.ttlMs : definition.ttlMs;
  const keeps = known !== undefined && known.value !== null && known.isStored;
  const endsAt = keeps ? known.endsAt : endOf(shard, definition, ttlMs, true);
  const tags = keeps ? known.tags : [];
  return store(
    shard,
    definition,
    namespace,
    key,
    { value: encodeUtf8(String(number)), tags, endsAt },
    number,
    definition.write === "behind",
  );
}

/** When it is over for good: a value is read a while longer where it is loaded again meanwhile. */
function endOf(shard: ShardContext, { revalidateMs }: NamespaceDefinition, ttlMs: number, isValue: boolean): number {
  return ttlMs === 0 ? 0 : later(shard.now, ttlMs + (isValue ? revalidateMs : 0));
}

/** Also of a key that is not there: whoever is loading it loads something older than this. */
export function remove(shard: ShardContext, definition: NamespaceDefinition, command: CacheDelete): ShardResult {
  const { ifFence, key, namespace } = command;
  const behind = ifFence === null ? null : checkFence(shard, ifFence.lock, ifFence.fence);
  if (behind !== null) return behind;
  const known = knownValue(shard, definition, namespace, key);
  if (isUnloaded(definition, known, command.condition)) return { type: "cache-unloaded" };
  const conflict = conflictWith(command.condition, known);
  if (conflict !== null) return { type: "cache-conflict", reason: conflict, version: known?.version ?? 0 };
  const isBehind = definition.write === "behind";
  const full = isBehind ? backlogFull(shard, definition, namespace, key, null) : null;
  if (full !== null) return full;
  const version = nextVersion(shard);
  if (!mutant("cache-removal-not-noted")) noteRemoval(shard, namespace, key, version);
  const stored = storedValue(shard, namespace, key);
  if (stored !== undefined) removeValue(shard, namespace, key, stored);
  // Also where nothing is stored: the origin may have it.
  if (isBehind && !mutant("behind-deletes-forgotten")) queueWrite(shard, namespace, key, version, { value: null });
  return { type: "cache-deleted", version: known === undefined ? 0 : version };
}

/** What a write finds: what readers see, or, where that has ended, what still waits for the origin. */
interface Known {
  readonly version: number;
  readonly value: Uint8Array | null;
  readonly packing?: Packing;
  readonly endsAt: number;
  readonly tags: readonly string[];
  /** False = it only waits: its time was over, or an invalidation ended it. */
  readonly isStored: boolean;
}

function knownValue(shard: ShardContext, { write }: NamespaceDefinition, namespace: number, key: string): Known | undefined {
  const live = liveValue(shard, namespace, key);
  if (live !== undefined) return { ...live, isStored: true };
  const queued = write === "behind" && !mutant("behind-queued-not-known") ? queuedWrite(shard, namespace, key) : undefined;
  return queued === undefined ? undefined : { ...queued, endsAt: 0, tags: [], isStored: false };
}

/** Decided without what the origin has, such a write would put something wrong over it. `condition` null = of an increment. */
function isUnloaded({ write }: NamespaceDefinition, known: Known | undefined, condition: WriteCondition | null): boolean {
  if (write !== "behind" || known !== undefined || mutant("behind-decided-unloaded")) return false;
  return condition === null || condition.type !== "always";
}

function conflictWith(condition: WriteCondition, known: Known | undefined): CacheConflict | null {
  // A negative entry says that there is nothing.
  const isThere = known !== undefined && known.value !== null;
  switch (condition.type) {
    case "always":
      return null;
    case "absent":
      return isThere ? "exists" : null;
    case "present":
      return isThere ? null : "absent";
    case "version":
      return (known?.version ?? 0) === condition.version || mutant("cache-version-ignored") ? null : "version";
  }
}

/** Rule M8: a loader's value is older than whatever happened since it looked. */
function isTokenStale(shard: ShardContext, { write }: NamespaceDefinition, { key, namespace, tags, token }: CachePut): boolean {
  if (token === null || mutant("cache-token-ignored")) return false;
  const known = liveValue(shard, namespace, key);
  if ((known?.version ?? 0) !== token.version) return true;
  // What the origin says now is older than what waits to be written there.
  if (queuedWrite(shard, namespace, key) !== undefined && !mutant("behind-load-over-queued")) return true;
  if ((known === undefined || write === "behind") && removedAt(shard, namespace, key) > token.asOf) return true;
  // Written since, and ended by one of its own tags, which the loader's value need not carry.
  const stored = storedValue(shard, namespace, key)?.version ?? 0;
  if (stored > token.asOf && !mutant("cache-token-outlives-ended-value")) return true;
  const invalidated = ["", ...tags].some((tag) => invalidatedAt(shard, namespace, tag) > token.asOf);
  return (
    (invalidated && !mutant("cache-token-outlives-tag")) ||
    (tokenFloor(shard, namespace) > token.asOf && !mutant("cache-token-floor-ignored"))
  );
}

function store(
  shard: ShardContext,
  definition: NamespaceDefinition,
  namespace: number,
  key: string,
  fields: Omit<ValueRecord, "version">,
  number: number | null,
  isBehind: boolean,
): ShardResult {
  const full = room(shard, definition, namespace, key, { ...fields, version: Number.MAX_SAFE_INTEGER });
  if (full !== null) return full;
  const late = isBehind ? backlogFull(shard, definition, namespace, key, fields.value) : null;
  if (late !== null) return late;
  const version = nextVersion(shard);
  storeValue(shard, namespace, key, { ...fields, version });
  if (isBehind) queueWrite(shard, namespace, key, version, fields);
  return { type: "cache-written", version, number };
}

/** Null when it fits. What is cached in an embedded namespace is data: it is refused, never pushed out by something else (rule M9). */
function room(
  shard: ShardContext,
  { maxBytes, maxEntries }: NamespaceDefinition,
  namespace: number,
  key: string,
  record: ValueRecord,
): ShardResult | null {
  const former = storedValue(shard, namespace, key);
  const more = weightOf(key, record) - (former === undefined ? 0 : weightOf(key, former));
  const { bytes, entries } = useOf(shard, namespace);
  if (mutant("cache-unbounded")) return null;
  if (maxEntries > 0 && former === undefined && entries >= maxEntries) return { type: "cache-full", limit: "entries", max: maxEntries };
  // What shrinks always fits.
  if (maxBytes > 0 && more > 0 && bytes + more > maxBytes) return { type: "cache-full", limit: "bytes", max: maxBytes };
  const most = shard.limits.cacheBytes;
  return more > 0 && shardBytes(shard) + more > most ? { type: "cache-full", limit: "shard", max: most } : null;
}

/** Null for anything but a whole number as `increment` writes them; those are too short to be compressed by anybody. */
function wholeNumber({ packing, value }: StoredBytes): number | null {
  const isPacked = packing !== undefined && !mutant("cache-packed-number-read");
  if (value === null || isPacked || value.length === 0 || value.length > 17 || value.some((byte) => byte > 0x7f)) return null;
  const text = decodeUtf8(value);
  return /^(?:0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : null;
}
