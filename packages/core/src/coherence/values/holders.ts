import { mutant } from "#mutation";
import type { ForgetHolder, LeaseBarrier, LeaseResume, RegisterHolder, ShardResult } from "@trivet/wire";
import type { ShardContext } from "../../queues/context.ts";
import { KeyReader, keyOf, keysEnd, tables } from "../../queues/keys.ts";
import { decodeIntegers, encodeIntegers } from "../../queues/records.ts";

const markerKey: Uint8Array = keyOf(tables.meta, 5);

/** Rule M1: before its first lease. An older life of a holder never takes the place of a newer one. */
export function registerHolder(shard: ShardContext, { holder, incarnation }: RegisterHolder): ShardResult {
  const known = incarnationOf(shard, holder);
  if (known >= incarnation && !mutant("cache-older-life-registered")) return { type: "counted", count: 0 };
  shard.view.put(keyOf(tables.holder, holder), encodeIntegers(incarnation));
  return { type: "counted", count: 1 };
}

/** Of this life only: another has registered since. */
export function forgetHolder(shard: ShardContext, { holder, incarnation }: ForgetHolder): ShardResult {
  if (incarnationOf(shard, holder) !== incarnation && !mutant("cache-newer-life-forgotten")) return { type: "counted", count: 0 };
  return { type: "counted", count: shard.view.remove(keyOf(tables.holder, holder)) ? 1 : 0 };
}

/** For a new home: everybody who may have a lease of another. */
export function registeredHolders(shard: ShardContext): readonly (readonly [holder: string, incarnation: number])[] {
  const found: (readonly [string, number])[] = [];
  const prefix = keyOf(tables.holder);
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    found.push([new KeyReader(key).text(), decodeIntegers(value, 1)[0] as number]);
    return true;
  });
  return found;
}

/** Rule M4: the last one counts. */
export function markLeases(shard: ShardContext, { term, type }: LeaseBarrier | LeaseResume): ShardResult {
  shard.view.put(markerKey, encodeIntegers(type === "lease-barrier" ? 1 : 0, term));
  return { type: "counted", count: 1 };
}

export function leaseMarker(shard: ShardContext): { readonly barrier: boolean; readonly term: number } | null {
  const stored = shard.view.get(markerKey);
  if (stored === undefined) return null;
  const [barrier = 0, term = 0] = decodeIntegers(stored, 2);
  return { barrier: barrier === 1, term };
}

function incarnationOf(shard: ShardContext, holder: string): number {
  const stored = shard.view.get(keyOf(tables.holder, holder));
  return stored === undefined ? -1 : (decodeIntegers(stored, 1)[0] as number);
}
