import { mutant } from "#mutation";
import type { Result } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import type { LockState } from "./lock-state.ts";

/** Null when the account may hold or claim `keys` more locks. Waiting keys count: a grant must not be refused when its time comes. */
export function claimQuota(locks: LockState, account: Account, keys: number): Result | null {
  const { limits } = locks.ledger;
  const max = account.session === 0 ? limits.locksPerPrincipal : limits.locksPerSession;
  if (account.holdCount + account.claimed + keys <= max || mutant("lock-quota-ignored")) return null;
  return { type: "quota", limit: account.session === 0 ? "locks-per-principal" : "locks-per-session", max };
}

/** Null when one more request of the account may wait. */
export function waiterQuota(locks: LockState, account: Account): Result | null {
  const { limits } = locks.ledger;
  const max = account.session === 0 ? limits.waitersPerPrincipal : limits.waitersPerSession;
  if (account.waitCount < max || mutant("lock-waiter-quota-ignored")) return null;
  return { type: "quota", limit: account.session === 0 ? "waiters-per-principal" : "waiters-per-session", max };
}
