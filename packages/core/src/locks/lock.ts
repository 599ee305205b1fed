import type { LockMode } from "@trivet/wire";
import { assertNever } from "../kernel/assert.ts";
import type { Hold } from "./hold.ts";
import type { NameLeaf } from "./name-index.ts";
import type { Ticket } from "./wait.ts";

/**
 * A name that somebody holds, waits for, or may not take yet. A free name has no Lock (no memory per idle name). Everything in here
 * follows from its holds, tickets and delays: it is no record of a snapshot.
 */
export class Lock {
  readonly name: string;
  /** hashText(name), kept because every hold's digest needs it. */
  readonly hash: number;
  /** Size of the semaphore, fixed by the first permit; 0 = not counted. */
  of = 0;
  /** Holders in the order of their fences. */
  firstHold: Hold | null = null;
  lastHold: Hold | null = null;
  /** The line: upgraders first, then by order in the log. */
  firstTicket: Ticket | null = null;
  lastTicket: Ticket | null = null;
  ticketCount = 0;
  firstDelay: Delay | null = null;
  /** Held or delayed, by mode. */
  shared = 0;
  update = 0;
  exclusive = 0;
  permits = 0;
  /** On the list of locks whose line must be looked at. */
  dirty = false;
  /** Of the table; null at the end of a bucket's chain. */
  nextOfBucket: Lock | null = null;
  /** Where it stands among the names in order; null while it waits to be put there. */
  leaf: NameLeaf | null = null;

  constructor(name: string, hash: number) {
    this.name = name;
    this.hash = hash;
  }

  get idle(): boolean {
    return this.firstHold === null && this.firstTicket === null && this.firstDelay === null;
  }

  /** Adds `change` to the number of holds of `mode`. */
  count(mode: LockMode, change: 1 | -1): void {
    switch (mode) {
      case "shared":
        this.shared += change;
        return;
      case "update":
        this.update += change;
        return;
      case "exclusive":
        this.exclusive += change;
        return;
      case "permit":
        this.permits += change;
        return;
      default:
        assertNever(mode);
    }
  }

  /** Do the present holds and delays leave room for one more of `mode`? The line is another matter. */
  admits(mode: LockMode): boolean {
    switch (mode) {
      case "shared":
        return this.exclusive === 0;
      case "update":
        return this.exclusive === 0 && this.update === 0;
      case "exclusive":
        return this.exclusive === 0 && this.update === 0 && this.shared === 0;
      case "permit":
        return this.permits < this.of;
      default:
        return assertNever(mode);
    }
  }
}

/**
 * What an involuntarily ended hold leaves behind for `ms` (lock_delay): it keeps out whatever the hold kept out, so that the old
 * holder's last words reach the resource before its successor's first. Ended by the leader's timer, by id.
 */
export class Delay {
  readonly id: number;
  readonly lock: Lock;
  readonly mode: LockMode;
  readonly ms: number;
  next: Delay | null = null;
  previous: Delay | null = null;
  epoch: number;
  digest = 0;

  constructor(id: number, lock: Lock, mode: LockMode, ms: number, epoch: number) {
    this.id = id;
    this.lock = lock;
    this.mode = mode;
    this.ms = ms;
    this.epoch = epoch;
  }
}
