import type { Actor, Result } from "@trivet/wire";

import { type RefHold, RefTable, type RefWait } from "./table.ts";

/** What the reference says a command answers; fences of fresh grants are taken from the real answer and checked. */
export interface Said {
  readonly request: string;
  readonly result: Result;
}
/** The real answers of one step, by request, in the order given. */
export type Heard = (request: string) => Result | undefined;

export class ReferenceError extends Error {}

interface RefSession {
  readonly principal: string;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
}

/**
 * What all commands of the reference have in common: the records, and how grants are made, ended and found. What a command may ask for
 * is `LockReference`'s.
 */
export class LockGrants {
  readonly sessions: Map<number, RefSession> = new Map();
  readonly table: RefTable = new RefTable();
  lastFence = 0;
  lastSession = 0;
  lastWait = 0;
  lastDelay = 0;
  private anonymous = 0;
  protected heard: Heard = () => undefined;
  protected said: Said[] = [];
  protected grantedTo: string[] = [];
  protected freshFences: number[] = [];
  protected uncovered: RefWait[] = [];

  /** Ends the wait of `request` with an answer; false when it does not wait. */
  waitOf(request: string): RefWait | null {
    return this.table.waits.find((wait) => wait.request === request) ?? null;
  }

  /** Into the line; what that closes is broken at once, and the youngest of a new cycle is always the newcomer. */
  protected enter(wait: RefWait): Result | null {
    this.table.waits.push(wait);
    if (this.table.deadlocked().length > 0) {
      this.table.remove(wait);
      this.settle();
      return { type: "deadlock", cycle: [] };
    }
    this.settle();
    const own = this.said.findIndex((each) => each.request === wait.request);
    if (this.table.waits.includes(wait) || own < 0) return null;
    const [answer] = this.said.splice(own, 1);
    return answer?.result ?? null;
  }

  /** Grants whatever can be granted now, then breaks what lost covers have closed. */
  protected settle(): void {
    for (let next = this.table.nextGrantable(); next !== null; next = this.table.nextGrantable()) this.grant(next);
    for (let dead = this.table.deadlocked(); dead.length > 0; dead = this.table.deadlocked()) {
      const victim = dead.find((wait) => this.uncovered.includes(wait) || this.heard(wait.request)?.type === "deadlock");
      if (victim === undefined) throw new ReferenceError(`deadlock-free: ${dead.map((wait) => wait.owner).join(", ")} can never go on`);
      this.endWait(victim, { type: "deadlock", cycle: [] });
      for (let next = this.table.nextGrantable(); next !== null; next = this.table.nextGrantable()) this.grant(next);
    }
  }

  private grant(wait: RefWait): void {
    this.table.remove(wait);
    this.grantedTo.push(wait.owner);
    if (wait.upgrade !== null) {
      this.strengthen(wait.upgrade, wait.tickets[0]?.mode ?? "exclusive", wait.request);
      this.said.push({ request: wait.request, result: granted(wait.upgrade, []) });
      return;
    }
    const { account, session, owner, anonymous, ttlMs } = wait;
    const holds = wait.tickets.map(({ name, of, mode, cover }, i) => {
      if (cover !== null) {
        cover.depth += 1;
        return cover;
      }
      const hold: RefHold = { name, of, account, session, owner, anonymous, mode, fence: this.fresh(wait.request, i), depth: 1, ttlMs };
      this.table.holds.push(hold);
      return hold;
    });
    this.said.push({ request: wait.request, result: granted(holds[0] as RefHold, holds.slice(1)) });
  }

  protected strengthen(hold: RefHold, mode: RefHold["mode"], request: string): void {
    hold.mode = mode;
    hold.fence = this.fresh(request, 0);
  }

  /** The fence that the real service gave for key `i` of the request. */
  protected fresh(request: string, i: number): number {
    const real = this.heard(request);
    if (real?.type !== "granted")
      throw new ReferenceError(`${request} must be granted, but was answered ${JSON.stringify(real ?? "nothing")}`);
    const fence = i === 0 ? real.fence : (real.more[i - 1]?.fence ?? 0);
    this.freshFences.push(fence);
    return fence;
  }

  protected endHold(hold: RefHold, involuntary: boolean): void {
    const { table } = this;
    this.uncover(hold, () => true);
    table.holds = table.holds.filter((each) => each !== hold);
    const delay = this.sessions.get(hold.session)?.lockDelayMs ?? 0;
    if (involuntary && hold.session !== 0 && delay > 0) {
      this.lastDelay += 1;
      table.delays.push({ id: this.lastDelay, name: hold.name, of: hold.of, mode: hold.mode, ms: delay });
    }
    const upgrading = table.waits.find((wait) => wait.upgrade === hold);
    if (upgrading !== undefined) this.endWait(upgrading, this.notHeld(hold.name));
  }

  protected uncover(hold: RefHold, lostFor: (mode: RefHold["mode"]) => boolean): void {
    for (const wait of this.table.waits) {
      for (const ticket of wait.tickets) {
        if (ticket.cover !== hold || !lostFor(ticket.mode)) continue;
        ticket.cover = null;
        this.uncovered.push(wait);
      }
    }
  }

  protected endWait(wait: RefWait, result: Result): void {
    this.table.remove(wait);
    if (wait.request !== "") this.said.push({ request: wait.request, result });
  }

  protected accountOf(actor: Actor): string | null {
    if (actor.session === 0) return `p:${actor.principal}`;
    return this.sessions.get(actor.session)?.principal === actor.principal ? `s:${actor.session}` : null;
  }

  protected ownHold(name: string, account: string, owner: string): RefHold | null {
    return this.table.holdsOf(name).find((hold) => hold.account === account && hold.owner === owner) ?? null;
  }

  protected find(account: string, owner: string, name: string, fence: number): RefHold | Result {
    const own = this.ownHold(name, account, owner);
    if (fence === 0) return own ?? this.notHeld(name);
    const hold = this.table.holdsOf(name).find((each) => each.fence === fence && each.account === account && each.owner === owner);
    if (hold !== undefined) return hold;
    return own === null ? this.notHeld(name) : { type: "stale-fence", name, fence };
  }

  protected waitAt(actor: Actor, name: string): RefWait | null {
    const account = this.accountOf(actor);
    const mine = this.table.waits.filter((wait) => wait.account === account && wait.owner === actor.owner);
    return mine.find((wait) => wait.tickets.some((ticket) => ticket.name === name)) ?? null;
  }

  protected busy(name: string, waited: boolean): Result {
    return { type: "busy", waited, name, holders: this.table.holders(name), waiters: this.table.line(name).length - (waited ? 1 : 0) };
  }

  protected notHeld(name: string): Result {
    return { type: "not-held", name, holders: this.table.holders(name) };
  }

  protected released(fence: number): Result {
    return { type: "released", fence, remaining: 0, grantedTo: this.grantedTo.slice(0, 16) };
  }

  protected nextAnonymous(): string {
    this.anonymous += 1;
    return `anon-${this.anonymous}`;
  }
}

export function granted(hold: RefHold, more: readonly RefHold[]): Result {
  const { fence, owner, mode, depth } = hold;
  return {
    type: "granted",
    fence,
    owner,
    mode,
    depth,
    more: more.map((each) => ({ name: each.name, fence: each.fence, mode: each.mode })),
  };
}
