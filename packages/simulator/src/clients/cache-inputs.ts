import type { Prng } from "@trivet/core";

import type { CacheInput } from "../checkers/models/cached-value.ts";

/** Few keys, so that everybody meets. */
export const cacheKeys = ["a", "b", "c", "n"] as const;
/** Every value of these carries the tag. */
export const taggedKeys: readonly string[] = ["a", "b"];
export const cacheTag = "t";
/** Increments go here, now and then something that is no number. */
const counter = "n";

/** What a client asks next. `versions`: what it was told last of each key. */
export function chooseInput(prng: Prng, value: string, versions: ReadonlyMap<string, number>, readsMostly: boolean): CacheInput {
  const key = prng.pick(cacheKeys);
  if (prng.chance(readsMostly ? 0.97 : 0.5)) return { type: "get", key };
  if (key === counter && !prng.chance(0.2)) return { type: "increment", key, by: 1 + prng.below(3) };
  if (prng.chance(0.15)) return { type: "delete", key };
  const version = versions.get(key);
  if (version !== undefined && prng.chance(0.4)) return { type: "swap", key, value, version };
  return { type: "put", key, value };
}
