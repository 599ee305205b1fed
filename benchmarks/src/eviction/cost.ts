import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createPolicy, makeRoom, policyNames, type EvictionPolicy, type PolicyName, type Resident } from "@trivet/core";
import { avalanche, hashText } from "@trivet/wire";
import { LRUCache } from "lru-cache";
import { median, ratio, rotated } from "../driver/statistics.ts";
import { aligned, figure } from "../table.ts";
import { everythingMayGo } from "./replay.ts";
import { zipfKeys } from "./zipf.ts";

const copies = 10_000;
/** Requests of one measurement; the same ones in each round. */
const requests = 1_000_000;
const rounds = 9;
/** Keys of the misses: so many that a request almost never finds one. */
const missKeys = 20 * copies;
const seed = 11;
const valueBytes = 100;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Something that is measured: `run` makes `requests` requests. Names say what a request does. */
interface Candidate {
  readonly name: string;
  readonly what: string;
  readonly run: () => void;
}

interface Measured {
  readonly nanoseconds: number[];
  heapBytes: number;
}

/** Prints nanoseconds and heap bytes for each hit and each miss of all policies, and of `lru-cache`, measured in turns. */
export function measureEvictionCost(say: (line: string) => void): void {
  const keys = Array.from({ length: missKeys }, (_, rank) => `user:${rank}:profile`);
  const hits = zipfKeys(copies, 0.99, requests, seed);
  const misses = zipfKeys(missKeys, 0, requests, seed);
  const candidates = [
    ...policyNames.map((name) => hitOfPolicy(name, keys, hits)),
    ...policyNames.map((name) => hitOfTable(name, keys, hits)),
    hitOfMap(keys, hits),
    hitOfLruCache(keys, hits),
    ...policyNames.map((name) => missOf(name, keys, misses)),
    missOfLruCache(keys, misses),
  ];
  const measured = measureInTurns(candidates);
  const of = (name: string): number | null => median(measured.get(name)?.nanoseconds ?? []);
  say(
    `${copies} copies, keys like "${keys[0]}", hits by Zipf 0.99, misses uniform over ${missKeys} keys; median of ${rounds} rounds in turns`,
  );
  say(
    aligned([
      ["subject", "a request is", "ns", "heap B", "× lru-cache get"],
      ...candidates.map(({ name, what }) => {
        return [
          name,
          what,
          figure(of(name)),
          figure(measured.get(name)?.heapBytes, 1 / requests),
          figure(ratio(of(name), of("lru-cache get"))),
        ];
      }),
    ]),
  );
}

function measureInTurns(candidates: readonly Candidate[]): ReadonlyMap<string, Measured> {
  const measured = new Map<string, Measured>();
  for (const { name, run } of candidates) {
    run();
    measured.set(name, { nanoseconds: [], heapBytes: Infinity });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { name, run } of rotated(candidates, round)) {
      const result = measured.get(name);
      if (result === undefined) continue;
      collect();
      const heapBefore = process.memoryUsage().heapUsed;
      const startedAt = performance.now();
      run();
      result.nanoseconds.push(((performance.now() - startedAt) * 1e6) / requests);
      // The engine allocates now and then by itself: what the requests allocate, every round allocates.
      result.heapBytes = Math.min(result.heapBytes, Math.max(0, process.memoryUsage().heapUsed - heapBefore));
    }
  }
  return measured;
}

function filled(
  name: PolicyName,
  keys: readonly string[],
): { readonly policy: EvictionPolicy<string>; readonly residents: Resident<string>[] } {
  const policy = createPolicy<string>(name, { maxEntries: copies, maxBytes: Infinity }, seed);
  const residents: Resident<string>[] = [];
  for (const key of keys.slice(0, copies)) {
    const resident = policy.admit(key, hashOf(key), valueBytes);
    if (resident !== null) residents.push(resident);
  }
  return { policy, residents };
}

function hashOf(key: string): number {
  return avalanche(hashText(key));
}

function hitOfPolicy(name: PolicyName, keys: readonly string[], order: Int32Array): Candidate {
  const { policy, residents } = filled(name, keys);
  const run = (): void => {
    for (const place of order) policy.recordHit(residents[place] as Resident<string>);
  };
  return { name: `${name} recordHit`, what: "the policy's work for a hit", run };
}

function hitOfTable(name: PolicyName, keys: readonly string[], order: Int32Array): Candidate {
  const { policy, residents } = filled(name, keys);
  const table = new Map(residents.map((resident) => [resident.line, resident]));
  const run = (): void => {
    for (const place of order) {
      const resident = table.get(keys[place] as string);
      if (resident !== undefined) policy.recordHit(resident);
    }
  };
  return { name: `${name} get`, what: "Map.get and recordHit", run };
}

function hitOfMap(keys: readonly string[], order: Int32Array): Candidate {
  const table = new Map(keys.slice(0, copies).map((key) => [key, { key }]));
  let found = 0;
  const run = (): void => {
    for (const place of order) if (table.get(keys[place] as string) !== undefined) found++;
    if (found === 0) throw new Error("nothing was found");
  };
  return { name: "Map get", what: "Map.get alone", run };
}

function hitOfLruCache(keys: readonly string[], order: Int32Array): Candidate {
  const cache = new LRUCache<string, { readonly key: string }>({ max: copies });
  for (const key of keys.slice(0, copies)) cache.set(key, { key });
  let found = 0;
  const run = (): void => {
    for (const place of order) if (cache.get(keys[place] as string) !== undefined) found++;
    if (found === 0) throw new Error("nothing was found");
  };
  return { name: "lru-cache get", what: "cache.get", run };
}

function missOf(name: PolicyName, keys: readonly string[], order: Int32Array): Candidate {
  const policy = createPolicy<string>(name, { maxEntries: copies, maxBytes: Infinity }, seed);
  const table = new Map<string, Resident<string>>();
  const evict = (key: string): void => void table.delete(key);
  const run = (): void => {
    for (const place of order) {
      const key = keys[place] as string;
      const known = table.get(key);
      if (known !== undefined) {
        policy.recordHit(known);
        continue;
      }
      const resident = policy.admit(key, hashOf(key), valueBytes);
      if (resident === null) continue;
      table.set(key, resident);
      makeRoom(policy, everythingMayGo, evict);
    }
  };
  return { name: `${name} miss`, what: "hash, admit, makeRoom, Map.set and delete (95 %)", run };
}

function missOfLruCache(keys: readonly string[], order: Int32Array): Candidate {
  const cache = new LRUCache<string, { readonly key: string }>({ max: copies });
  const run = (): void => {
    for (const place of order) {
      const key = keys[place] as string;
      if (cache.get(key) === undefined) cache.set(key, { key });
    }
  };
  return { name: "lru-cache miss", what: "cache.get, cache.set (95 %)", run };
}
