import type { Lock } from "@trivet/client";

interface ToldLock {
  readonly name: string;
  readonly mode: string;
  readonly fence: string;
}

/** What a command is told of its locks: the first in variables of their own, all of them, and those it runs under besides, in TRIVET_LOCKS. */
export function lockEnvironment(
  lock: Pick<Lock, "name" | "fence" | "owner" | "keys"> & { readonly session: { readonly id: number } },
  env: NodeJS.ProcessEnv,
): Record<string, string> {
  const own = lock.keys.map(({ name, mode, fence }): ToldLock => ({ name, mode, fence: String(fence) }));
  return {
    TRIVET_LOCK_NAME: lock.name,
    TRIVET_FENCE: String(lock.fence),
    TRIVET_OWNER: lock.owner,
    TRIVET_SESSION: String(lock.session.id),
    TRIVET_LOCKS: JSON.stringify([...own, ...inheritedLocks(env)]),
  };
}

/** Locks that this process runs under itself; none where the variable holds something else. */
export function inheritedLocks(env: NodeJS.ProcessEnv): readonly ToldLock[] {
  try {
    const told: unknown = JSON.parse(env["TRIVET_LOCKS"] ?? "[]");
    return Array.isArray(told) ? told.filter(isToldLock) : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function isToldLock(value: unknown): value is ToldLock {
  if (typeof value !== "object" || value === null) return false;
  return ["name", "mode", "fence"].every((field) => typeof (value as Record<string, unknown>)[field] === "string");
}
