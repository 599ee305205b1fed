import { cacheCommandNumbers, packedPutNumber } from "./cache-commands.ts";
import { type Command, commandNumbers } from "./commands.ts";
import { formerShardCommandNumbers, shardCommandNumbers } from "./queue-commands.ts";

/**
 * What the nodes of a cluster understand, as one number (docs/decisions/0022-feature-levels.md). A command goes into a log only once the cluster's level,
 * which is in group 0's log, says that every member knows it. A new command, or a field that changes what a command does, takes the next level here.
 * Numbers are append-only.
 */
export const featureLevels = {
  /** Locks, sessions, members, queues. */
  base: 1,
  /** Receipts that name the incarnation of their group (77, 78), and the cache. */
  cache: 2,
  /** The level itself; cached values that are written behind, or served stale while they are loaded again. */
  levels: 3,
  /** Cached values that are stored compressed. */
  packing: 4,
  /** Redrives that keep to the length of their queue. */
  room: 5,
  /** Frames of ordered producers (rule X4). */
  ordered: 5,
  /** What a lost consumer had begun, and the rules of shards that go with it. */
  begun: 5,
  /** Heads of audit logs in group 0's state. */
  anchors: 6,
} as const;

/** The highest level that this version knows. */
export const newestLevel: number = featureLevels.anchors;
/** What the versions knew that said nothing of levels in the handshake: all that they speak to have the same peer protocol, and with it the cache. */
export const levelBeforeLevels: number = featureLevels.cache;
/** Of commands that this version does not know: another one may, and then replicas would differ. */
export const unknownLevel: number = Number.MAX_SAFE_INTEGER;

const levelByNumber: readonly number[] = levelTable();

/** The level that a cluster needs for the command with this number. */
export function levelOfCommand(number: number): number {
  return levelByNumber[number] ?? unknownLevel;
}

/** The same, of what one says: fields that came later need more than their command. */
export function levelOf(command: Command): number {
  const level = levelOfCommand(commandNumbers[command.type]);
  if (command.type !== "define-namespace") return level;
  // Also where they say nothing new: versions before them cannot read that they are there.
  const { compressOver, maxBehind, revalidateMs, write } = command.settings;
  if (compressOver !== undefined) return Math.max(level, featureLevels.packing);
  return maxBehind !== undefined || revalidateMs !== undefined || write !== undefined ? Math.max(level, featureLevels.levels) : level;
}

function levelTable(): readonly number[] {
  const table = Array.from({ length: 256 }, () => unknownLevel);
  for (const number of Object.values(commandNumbers)) table[number] = featureLevels.base;
  for (const number of Object.values(shardCommandNumbers)) table[number] = featureLevels.base;
  for (const number of Object.values(formerShardCommandNumbers)) table[number] = featureLevels.base;
  for (const number of Object.values(cacheCommandNumbers)) table[number] = featureLevels.cache;
  table[cacheCommandNumbers["cache-flushed"]] = featureLevels.levels;
  table[packedPutNumber] = featureLevels.packing;
  for (const type of ["settle", "expire-leases"] as const) table[shardCommandNumbers[type]] = featureLevels.cache;
  table[shardCommandNumbers.redrive] = featureLevels.room;
  for (const type of ["consumer-gone", "adopt-rules"] as const) table[shardCommandNumbers[type]] = featureLevels.begun;
  for (const type of ["define-namespace", "delete-namespace"] as const) table[commandNumbers[type]] = featureLevels.cache;
  table[commandNumbers["raise-level"]] = featureLevels.levels;
  table[commandNumbers["anchor-audit"]] = featureLevels.anchors;
  return table;
}
