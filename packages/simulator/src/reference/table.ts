import type { HolderInfo, LockMode } from "@trivet/wire";

/** A hold, a place in line or a lock delay of the reference: plain records in plain lists, everything is searched. */
export interface RefHold {
  readonly name: string;
  /** Size of the semaphore, 0 for a plain lock. */
  readonly of: number;
  /** `s:12` or `p:alice`: what a hold is charged to. */
  readonly account: string;
  readonly session: number;
  readonly owner: string;
  readonly anonymous: boolean;
  mode: LockMode;
  fence: number;
  depth: number;
  ttlMs: number;
}
export interface RefTicket {
  readonly name: string;
  readonly mode: LockMode;
  readonly of: number;
  /** A hold of the same owner that makes this key of a re-entrant set ready. */
  cover: RefHold | null;
}
export interface RefWait {
  readonly id: number;
  readonly account: string;
  readonly session: number;
  readonly owner: string;
  readonly anonymous: boolean;
  /** Whose answer it is; empty = nobody's. */
  readonly request: string;
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly upgrade: RefHold | null;
  readonly tickets: RefTicket[];
}
export interface RefDelay {
  readonly id: number;
  readonly name: string;
  readonly of: number;
  readonly mode: LockMode;
  readonly ms: number;
}

const strength: Readonly<Record<LockMode, number>> = { permit: 0, shared: 1, update: 2, exclusive: 3 };

/** May `asked` stand beside `held`? */
export function together(held: LockMode, asked: LockMode): boolean {
  if (held === "permit" || asked === "permit") return held === asked;
  if (held === "exclusive" || asked === "exclusive") return false;
  return held === "shared" || asked === "shared";
}
export function covers(held: LockMode, asked: LockMode): boolean {
  if (held === "permit" || asked === "permit") return held === asked;
  return strength[held] >= strength[asked];
}
export function stronger(mode: LockMode, than: LockMode): boolean {
  return mode !== "permit" && than !== "permit" && strength[mode] > strength[than];
}

/** Who holds, waits and is kept out. */
export class RefTable {
  holds: RefHold[] = [];
  waits: RefWait[] = [];
  delays: RefDelay[] = [];

  copy(): RefTable {
    const copy = new RefTable();
    const twin = new Map(this.holds.map((hold) => [hold, { ...hold }]));
    copy.holds = [...twin.values()];
    copy.waits = this.waits.map((wait) => ({
      ...wait,
      upgrade: wait.upgrade === null ? null : (twin.get(wait.upgrade) ?? null),
      tickets: wait.tickets.map((ticket) => ({ ...ticket, cover: ticket.cover === null ? null : (twin.get(ticket.cover) ?? null) })),
    }));
    copy.delays = [...this.delays];
    return copy;
  }

  holdsOf(name: string): RefHold[] {
    return this.holds.filter((hold) => hold.name === name).sort((a, b) => a.fence - b.fence);
  }

  /** The line of a name: upgraders first, then in the order of the log. */
  line(name: string): { readonly wait: RefWait; readonly ticket: RefTicket }[] {
    return this.waits
      .flatMap((wait) => wait.tickets.filter((ticket) => ticket.name === name).map((ticket) => ({ wait, ticket })))
      .sort((a, b) => Number(a.wait.upgrade === null) - Number(b.wait.upgrade === null) || a.wait.id - b.wait.id);
  }

  /** Size of the semaphore that `name` is while in use; null = free. */
  sizeOf(name: string): number | null {
    const used = [...this.holds, ...this.delays, ...this.waits.flatMap((wait) => wait.tickets)].find((each) => each.name === name);
    return used === undefined ? null : used.of;
  }

  /** Do holds and delays, other than `except`, leave room for `mode`? The line is another matter. */
  admits(name: string, of: number, mode: LockMode, except: RefHold | null): boolean {
    const present = [...this.holds.filter((hold) => hold !== except), ...this.delays].filter((each) => each.name === name);
    if (mode === "permit") return present.length < of;
    return present.every((each) => together(each.mode, mode));
  }

  isReady(wait: RefWait, ticket: RefTicket): boolean {
    if (ticket.cover !== null) return true;
    const head = this.line(ticket.name)[0];
    return head?.ticket === ticket && this.admits(ticket.name, ticket.of, ticket.mode, wait.upgrade);
  }

  /** A request whose keys are all ready; null = nobody can go on. */
  nextGrantable(): RefWait | null {
    return this.waits.find((wait) => wait.tickets.every((ticket) => this.isReady(wait, ticket))) ?? null;
  }

  remove(wait: RefWait): void {
    this.waits = this.waits.filter((other) => other !== wait);
  }

  holders(name: string): HolderInfo[] {
    return this.holdsOf(name)
      .slice(0, 16)
      .map(({ owner, session, mode, fence }) => ({ owner, session, mode, fence }));
  }

  /**
   * Brute force: whoever waits for nothing lets go of all it has, whoever can be granted is, and so on. The requests that are left over
   * can never be granted: they are deadlocked.
   */
  deadlocked(): RefWait[] {
    if (this.waits.length === 0) return [];
    const play = this.copy();
    play.delays = [];
    for (;;) {
      const waiting = new Set(play.waits.map((wait) => `${wait.account}|${wait.owner}`));
      const before = play.holds.length;
      play.holds = play.holds.filter((hold) => waiting.has(`${hold.account}|${hold.owner}`));
      const next = play.nextGrantable();
      if (next !== null) {
        play.remove(next);
        if (next.upgrade !== null) next.upgrade.mode = next.tickets[0]?.mode ?? next.upgrade.mode;
        else {
          for (const { name, of, mode, cover } of next.tickets) {
            const { account, session, owner, anonymous } = next;
            if (cover === null) play.holds.push({ name, of, account, session, owner, anonymous, mode, fence: 0, depth: 1, ttlMs: 0 });
          }
        }
      } else if (play.holds.length === before) break;
    }
    const left = new Set(play.waits.map((wait) => wait.id));
    return this.waits.filter((wait) => left.has(wait.id));
  }
}
