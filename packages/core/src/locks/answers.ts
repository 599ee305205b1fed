import type { HolderInfo, Result } from "@trivet/wire";
import { listedHolders } from "../system/limits.ts";
import type { Hold } from "./hold.ts";
import type { Lock } from "./lock.ts";

const noHolders: readonly HolderInfo[] = [];
const noKeys: Extract<Result, { type: "granted" }>["more"] = [];
const nobody: readonly string[] = [];

export const done: Result = { type: "done" };
export const cancelled: Result = { type: "cancelled" };
export const lockNotFound: Result = { type: "not-found", what: "lock" };
export const waitNotFound: Result = { type: "not-found", what: "wait" };
export const sessionNotFound: Result = { type: "not-found", what: "session" };

/** The oldest holders of a lock, as told to those it is refused to. */
export function holdersOf(lock: Lock | undefined): readonly HolderInfo[] {
  if (lock === undefined || lock.firstHold === null) return noHolders;
  const holders: HolderInfo[] = [];
  for (let hold: Hold | null = lock.firstHold; hold !== null && holders.length < listedHolders; hold = hold.nextOfLock) {
    holders.push({ owner: hold.owner, session: hold.account.session, mode: hold.mode, fence: hold.fence });
  }
  return holders;
}

export function granted(hold: Hold): Result {
  return { type: "granted", fence: hold.fence, owner: hold.owner, mode: hold.mode, depth: hold.depth, more: noKeys };
}

export function grantedSet(holds: readonly Hold[]): Result {
  const [first, ...rest] = holds as readonly [Hold, ...Hold[]];
  return {
    type: "granted",
    fence: first.fence,
    owner: first.owner,
    mode: first.mode,
    depth: first.depth,
    more: rest.map((hold) => ({ name: hold.lock.name, fence: hold.fence, mode: hold.mode })),
  };
}

/** `waiters` are the others in line: who has waited still stands there while this is made. */
export function busy(name: string, lock: Lock | undefined, waited: boolean): Result {
  return { type: "busy", waited, name, holders: holdersOf(lock), waiters: (lock?.ticketCount ?? 0) - (waited ? 1 : 0) };
}

export function notHeld(name: string, lock: Lock | undefined): Result {
  return { type: "not-held", name, holders: holdersOf(lock) };
}

export function sessionLost(session: number): Result {
  return { type: "session-lost", session };
}

export function released(fence: number, remaining: number, grantedTo: readonly string[] = nobody): Result {
  return { type: "released", fence, remaining, grantedTo };
}
