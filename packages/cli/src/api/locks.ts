import { usageError } from "../output/errors.ts";
import type { LockAnswer, LockListAnswer } from "./answers.ts";
import type { Api } from "./http.ts";

const pageSize = 500;

/** Path of a lock. */
export function lockPath(name: string): string {
  // A URL parser removes these two from any path, encoded or not.
  if (name === "." || name === "..")
    throw usageError(`The name ${name} cannot travel in a path.`, "POST /locks/release with it in the body");
  return `/v1/locks/${encodeURIComponent(name)}`;
}

/** Holders and waiters of one lock. */
export async function showLock(api: Api, name: string): Promise<LockAnswer> {
  if (name !== "." && name !== "..") return (await api.call("GET", lockPath(name))) as LockAnswer;
  const { locks } = await listLocks(api, name, 1_000);
  return locks.find((found) => found.name === name) ?? { name, status: "available", holders: [], waiters: [] };
}

/** Locks that are held or waited for, page by page. */
export async function listLocks(
  api: Api,
  prefix: string,
  limit: number,
): Promise<{ locks: LockAnswer[]; total: number; waiters: number; more: boolean }> {
  const locks: LockAnswer[] = [];
  let cursor: string | null = null;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(pageSize, limit - locks.length)) });
    if (prefix !== "") query.set("prefix", prefix);
    if (cursor !== null) query.set("cursor", cursor);
    const page = (await api.call("GET", `/v1/locks?${query.toString()}`)) as LockListAnswer;
    locks.push(...page.locks);
    cursor = page.next_cursor;
    if (cursor === null || locks.length >= limit) return { locks, total: page.total, waiters: page.waiters, more: cursor !== null };
  }
}
