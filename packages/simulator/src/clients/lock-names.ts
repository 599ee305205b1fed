import type { Prng } from "@trivet/core";
import type { LockKey, LockMode } from "@trivet/wire";

/** Few names, so that clients meet; semaphores have names of their own, because a name has one kind while it is held. */
const plainNames = ["alpha", "beta", "gamma", "delta", "epsilon"] as const;
const semaphores = [
  { name: "pool-2", of: 2 },
  { name: "pool-3", of: 3 },
] as const;

/** What one acquire asks for: mostly one plain lock, sometimes a permit or an atomic set. */
export function pickKeys(prng: Prng, contention: number): readonly LockKey[] {
  const roll = prng.next();
  if (roll < 0.15) {
    const { name, of } = prng.pick(semaphores);
    return [{ name, mode: "permit", of }];
  }
  const pool = plainNames.slice(0, Math.max(1, Math.round(plainNames.length * (1 - contention))));
  if (roll < 0.3 && pool.length > 1) {
    const first = prng.pick(pool);
    const second = prng.pick(pool.filter((name) => name !== first));
    return [
      { name: first, mode: pickMode(prng), of: 0 },
      { name: second, mode: pickMode(prng), of: 0 },
    ];
  }
  return [{ name: prng.pick(pool), mode: pickMode(prng), of: 0 }];
}

export function pickMode(prng: Prng): LockMode {
  const roll = prng.next();
  return roll < 0.55 ? "exclusive" : roll < 0.85 ? "shared" : "update";
}

export const anyPlainName = (prng: Prng): string => prng.pick(plainNames);
