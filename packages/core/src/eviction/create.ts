import { assertNever } from "../kernel/assert.ts";
import { Arc } from "./arc.ts";
import { Lfu } from "./lfu.ts";
import { Lru } from "./lru.ts";
import type { Bounds, EvictionPolicy, PolicyName } from "./policy.ts";
import { S3Fifo } from "./s3fifo.ts";
import { Sieve } from "./sieve.ts";
import { WTinyLfu } from "./wtinylfu.ts";

/** An empty policy. The same seed and the same calls give the same victims; a real node takes a seed that nobody can guess. */
export function createPolicy<Line>(name: PolicyName, bounds: Bounds, seed: number): EvictionPolicy<Line> {
  switch (name) {
    case "wtinylfu":
      return new WTinyLfu(bounds, seed);
    case "lru":
      return new Lru(bounds);
    case "lfu":
      return new Lfu(bounds);
    case "s3fifo":
      return new S3Fifo(bounds, seed);
    case "sieve":
      return new Sieve(bounds);
    case "arc":
      return new Arc(bounds, seed);
    default:
      return assertNever(name);
  }
}
