import { mutant } from "#mutation";
import type { LockKey, Result } from "@trivet/wire";
import type { Lock } from "./lock.ts";

/**
 * A lock is either plain or counted while it is in use, and the first permit fixes the size of a semaphore. Null = `key` may go on.
 */
export function kindConflict(lock: Lock | undefined, key: LockKey): Result | null {
  if (key.mode === "permit" && key.of === 0) return { type: "malformed", detail: "a permit needs the size of its semaphore" };
  if (lock === undefined) return null;
  const of = key.mode === "permit" ? key.of : 0;
  if (lock.of === of) return null;
  if (lock.of !== 0 && of !== 0) {
    if (mutant("lock-semaphore-size-ignored")) return null;
    return { type: "conflict", reason: "semaphore-size", detail: `${lock.name} is a semaphore of ${lock.of}` };
  }
  if (mutant("lock-kind-ignored")) return null;
  return { type: "conflict", reason: "lock-kind", detail: `${lock.name} is ${lock.of === 0 ? "not a semaphore" : "a semaphore"}` };
}
