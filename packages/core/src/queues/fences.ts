import { mutant } from "#mutation";
import type { ShardResult } from "@trivet/wire";
import { fencesJob, startClearing } from "./jobs.ts";
import type { ShardContext } from "./context.ts";
import { keyAfter, keyOf, keysEnd, tables } from "./keys.ts";
import { decodeIntegers, encodeIntegers } from "./records.ts";

const floorKey: Uint8Array = keyOf(tables.meta, 1);

/** No live lock has a lower fence. */
export function fenceFloor(shard: ShardContext): number {
  const stored = shard.view.get(floorKey);
  return stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
}

/** Rule K5: null, and the fence is the highest seen, when it is not behind what this shard knows of the lock. */
export function checkFence(shard: ShardContext, lock: string, fence: number): ShardResult | null {
  const key = keyOf(tables.fence, lock);
  const stored = shard.view.get(key);
  const seen = stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
  const highest = Math.max(seen, mutant("queue-fence-floor-ignored") ? 0 : fenceFloor(shard));
  if (fence < highest && !mutant("queue-fence-behind-accepted")) return { type: "fence-behind", lock, highest };
  if (fence > seen && !mutant("queue-fence-not-stored")) shard.view.put(key, encodeIntegers(fence));
  return null;
}

export function raiseFence(shard: ShardContext, lock: string, fence: number): ShardResult {
  return checkFence(shard, lock, fence) ?? { type: "counted", count: 1 };
}

/** Registers below go in bounded steps. */
export function raiseFloor(shard: ShardContext, fence: number): ShardResult {
  if (fence <= fenceFloor(shard) && !mutant("queue-fence-floor-lowered")) return { type: "counted", count: 0 };
  shard.view.put(floorKey, encodeIntegers(fence));
  startClearing(shard, { type: "fences" });
  return { type: "counted", count: 1 };
}

/** Some of the registers, for a leader that looks whether a higher floor would let any go. */
export interface FencePage {
  readonly floor: number;
  /** The lowest fence among those looked at; 0 = there were none, or what the floor lets go is still being cleared. */
  readonly lowest: number;
  /** Where to go on; null = from the beginning. */
  readonly next: Uint8Array | null;
}

/** Looks at up to `most` registers from `from` on. */
export function fencesFrom(shard: ShardContext, from: Uint8Array | null, most: number): FencePage {
  const floor = fenceFloor(shard);
  if (shard.view.get(keyOf(tables.job, fencesJob)) !== undefined) return { floor, lowest: 0, next: from };
  const prefix = keyOf(tables.fence);
  let lowest = 0;
  let last: Uint8Array | null = null;
  let seen = 0;
  shard.view.scan(from ?? prefix, keysEnd(prefix), (key, value) => {
    last = key.slice();
    const [fence] = decodeIntegers(value, 1) as [number];
    if (lowest === 0 || fence < lowest) lowest = fence;
    return ++seen < most;
  });
  return { floor, lowest, next: last === null || seen < most ? null : keyAfter(last) };
}
