import { mutant } from "#mutation";
import type { Hold } from "../locks/hold.ts";
import type { Wait } from "../locks/wait.ts";

/**
 * What holds and waits are charged to: a session, or (session 0) a principal that acts without one. An owner of the wait-for graph is
 * (account, owner text): rule K2. A principal's account exists only while it has holds or waits.
 */
export class Account {
  /** 0 = a principal without session. */
  readonly session: number;
  principal: string;
  label = "";
  ttlMs = 0;
  lockDelayMs = 0;
  /** Group time of the opening. */
  openedAt = 0;
  /** In the order of fences, except right after a restore (see `sorted`). */
  firstHold: Hold | null = null;
  lastHold: Hold | null = null;
  /** Those that are packed are counted. */
  holdCount = 0;
  /** The first of those that a snapshot had packed, a number of PackedHolds; -1 = none. Some may be unpacked. */
  firstPacked = -1;
  /** In the order of ids, except right after a restore. */
  firstWait: Wait | null = null;
  lastWait: Wait | null = null;
  waitCount = 0;
  /** Keys that waiting acquires will hold: counted against the quota from the start. */
  claimed = 0;
  /** False when a restore may have linked holds or waits out of order. */
  sorted = true;
  /** The oldest wait of each waiting owner; null while nobody waits. */
  waitsByOwner: Map<string, Wait> | null = null;
  epoch: number;
  digest = 0;

  constructor(session: number, principal: string, epoch: number) {
    this.session = session;
    this.principal = principal;
    this.epoch = epoch;
  }

  addHold(hold: Hold): void {
    const last = this.lastHold;
    hold.previousOfAccount = last;
    hold.nextOfAccount = null;
    if (last === null) this.firstHold = hold;
    else {
      last.nextOfAccount = hold;
      if (last.fence > hold.fence) this.sorted = false;
    }
    this.lastHold = hold;
    this.holdCount++;
  }

  removeHold(hold: Hold): void {
    const { previousOfAccount: before, nextOfAccount: after } = hold;
    if (before === null) this.firstHold = after;
    else before.nextOfAccount = after;
    if (after === null) this.lastHold = before;
    else after.previousOfAccount = before;
    hold.previousOfAccount = null;
    hold.nextOfAccount = null;
    this.holdCount--;
  }

  addWait(wait: Wait): void {
    const last = this.lastWait;
    wait.previousOfAccount = last;
    wait.nextOfAccount = null;
    if (last === null) this.firstWait = wait;
    else {
      last.nextOfAccount = wait;
      if (last.id > wait.id) this.sorted = false;
    }
    this.lastWait = wait;
    this.waitCount++;
    if (wait.upgrade === null) this.claimed += wait.tickets.length;
    this.addToOwner(wait);
  }

  removeWait(wait: Wait): void {
    const { previousOfAccount: before, nextOfAccount: after } = wait;
    if (before === null) this.firstWait = after;
    else before.nextOfAccount = after;
    if (after === null) this.lastWait = before;
    else after.previousOfAccount = before;
    wait.previousOfAccount = null;
    wait.nextOfAccount = null;
    this.waitCount--;
    if (wait.upgrade === null) this.claimed -= wait.tickets.length;
    this.removeFromOwner(wait);
  }

  /** Holds, oldest fence first. */
  orderedHolds(): Hold[] {
    const holds: Hold[] = [];
    for (let hold = this.firstHold; hold !== null; hold = hold.nextOfAccount) holds.push(hold);
    return this.sorted || mutant("session-end-unordered") ? holds : holds.sort((a, b) => a.fence - b.fence);
  }

  /** Waits, oldest first. */
  orderedWaits(): Wait[] {
    const waits: Wait[] = [];
    for (let wait = this.firstWait; wait !== null; wait = wait.nextOfAccount) waits.push(wait);
    return this.sorted ? waits : waits.sort((a, b) => a.id - b.id);
  }

  private addToOwner(wait: Wait): void {
    this.waitsByOwner ??= new Map();
    const oldest = this.waitsByOwner.get(wait.owner);
    if (oldest === undefined || oldest.id > wait.id) {
      wait.nextOfOwner = oldest ?? null;
      this.waitsByOwner.set(wait.owner, wait);
      return;
    }
    let older = oldest;
    while (older.nextOfOwner !== null && older.nextOfOwner.id < wait.id) older = older.nextOfOwner;
    wait.nextOfOwner = older.nextOfOwner;
    older.nextOfOwner = wait;
  }

  private removeFromOwner(wait: Wait): void {
    const waits = this.waitsByOwner;
    if (waits === null) return;
    const oldest = waits.get(wait.owner);
    if (oldest === wait) {
      if (wait.nextOfOwner === null) waits.delete(wait.owner);
      else waits.set(wait.owner, wait.nextOfOwner);
      if (waits.size === 0) this.waitsByOwner = null;
    } else {
      let older = oldest;
      while (older !== undefined && older.nextOfOwner !== wait) older = older.nextOfOwner ?? undefined;
      if (older !== undefined) older.nextOfOwner = wait.nextOfOwner;
    }
    wait.nextOfOwner = null;
  }
}
