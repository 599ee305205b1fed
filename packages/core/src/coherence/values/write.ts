import { mutant } from "#mutation";
import {
  type CacheConflict,
  type CacheDelete,
  type CacheIncrement,
  type CachePut,
  decodeUtf8,
  encodeUtf8,
  type NamespaceDefinition,
  type ShardResult,
  type WriteCondition,
} from "@trivet/wire";
import { later } from "../../queues/calendar.ts";
import type { ShardContext } from "../../queues/context.ts";
import { checkFence } from "../../queues/fences.ts";
import type { ValueRecord } from "./records.ts";
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
  const known = liveValue(shard, namespace, key);
  const conflict = conflictWith(command.condition, known) ?? (isTokenStale(shard, command, known) ? "token" : null);
  if (conflict !== null) return { type: "cache-conflict", reason: conflict, version: known?.version ?? 0 };
  const ttlMs = command.ttlMs > 0 ? command.ttlMs : value === null ? definition.negativeTtlMs : definition.ttlMs;
  const endsAt = ttlMs === 0 ? 0 : later(shard.now, ttlMs);
  return store(shard, definition, namespace, key, { value, tags: [...new Set(tags)], endsAt }, null);
}

/** A whole number: what is there, or 0, and so much more. Keeps the end and the tags of what is there. */
export function increment(shard: ShardContext, definition: NamespaceDefinition, command: CacheIncrement): ShardResult {
  const { ifFence, key, namespace } = command;
  const behind = ifFence === null ? null : checkFence(shard, ifFence.lock, ifFence.fence);
  if (behind !== null) return behind;
  const known = liveValue(shard, namespace, key);
  const before = known === undefined || known.value === null ? 0 : wholeNumber(known.value);
  const number = before === null ? Number.NaN : before + command.by;
  if (!Number.isSafeInteger(number)) return { type: "cache-not-a-number" };
  const ttlMs = command.ttlMs > 0 ? command.ttlMs : definition.ttlMs;
  const keeps = known !== undefined && known.value !== null;
  const endsAt = keeps ? known.endsAt : ttlMs === 0 ? 0 : later(shard.now, ttlMs);
  const tags = keeps ? known.tags : [];
  return store(shard, definition, namespace, key, { value: encodeUtf8(String(number)), tags, endsAt }, number);
}

/** Also of a key that is not there: whoever is loading it loads something older than this. */
export function remove(shard: ShardContext, command: CacheDelete): ShardResult {
  const { ifFence, key, namespace } = command;
  const behind = ifFence === null ? null : checkFence(shard, ifFence.lock, ifFence.fence);
  if (behind !== null) return behind;
  const known = liveValue(shard, namespace, key);
  const conflict = conflictWith(command.condition, known);
  if (conflict !== null) return { type: "cache-conflict", reason: conflict, version: known?.version ?? 0 };
  const version = nextVersion(shard);
  if (!mutant("cache-removal-not-noted")) noteRemoval(shard, namespace, key, version);
  const stored = storedValue(shard, namespace, key);
  if (stored !== undefined) removeValue(shard, namespace, key, stored);
  return { type: "cache-deleted", version: known === undefined ? 0 : version };
}

function conflictWith(condition: WriteCondition, known: ValueRecord | undefined): CacheConflict | null {
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
function isTokenStale(shard: ShardContext, { key, namespace, tags, token }: CachePut, known: ValueRecord | undefined): boolean {
  if (token === null || mutant("cache-token-ignored")) return false;
  if ((known?.version ?? 0) !== token.version) return true;
  if (known === undefined && removedAt(shard, namespace, key) > token.asOf) return true;
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
): ShardResult {
  const full = room(shard, definition, namespace, key, { ...fields, version: Number.MAX_SAFE_INTEGER });
  if (full !== null) return full;
  const version = nextVersion(shard);
  storeValue(shard, namespace, key, { ...fields, version });
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

/** Null for anything but a whole number as `increment` writes them. */
function wholeNumber(value: Uint8Array): number | null {
  if (value.length === 0 || value.length > 17 || value.some((byte) => byte > 0x7f)) return null;
  const text = decodeUtf8(value);
  return /^(?:0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : null;
}
