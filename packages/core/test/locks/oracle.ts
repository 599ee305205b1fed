import type { Command, LockMode, Result } from "@trivet/wire";
import {
  type ModelDelay,
  type ModelHold,
  type ModelTicket,
  type ModelWait,
  deadWaits,
  lineOf,
  must,
  rank,
  together,
} from "./oracle-play.ts";

interface ModelSession {
  lockDelayMs: number;
  principal: string;
}

export interface Observed {
  /** Every answer of this step, by request. */
  readonly answers: ReadonlyMap<number, Result>;
}

/**
 * A second, naive lock service to judge the first by: flat lists, everything searched, no indexes, no code shared. It predicts the
 * outcome of each command; where the promise leaves a choice (fences, which waiter of a deadlock) it takes the choice made and checks
 * that it was allowed.
 */
export class Oracle {
  holds: ModelHold[] = [];
  waits: ModelWait[] = [];
  delays: ModelDelay[] = [];
  sessions = new Map<number, ModelSession>();
  deadlocks = 0;
  private order = 0;
  private anonymous = 0;
  private highestFence = 0;
  private observed: Observed = { answers: new Map() };
  private expected = new Map<number, string>();

  /** Takes a command and what the real one answered in the same step; throws when that was not allowed. */
  step(command: Command, request: number, observed: Observed): void {
    this.observed = observed;
    this.expected = new Map();
    const own = this.run(command, request);
    if (own !== null) this.expected.set(request, own);
    for (const [asked, result] of observed.answers) this.compare(asked, this.expected.get(asked), result.type);
    for (const [asked, type] of this.expected) if (asked !== 0) this.compare(asked, type, observed.answers.get(asked)?.type);
  }

  waiting(request: number): boolean {
    return this.waits.some((wait) => wait.request === request);
  }

  queue(name: string): ModelWait[] {
    return lineOf(this.waits, name);
  }

  private compare(request: number, expected: string | undefined, real: string | undefined): void {
    if (expected !== real) throw new Error(`request ${request}: expected ${expected ?? "no answer"}, got ${real ?? "none"}`);
  }

  private run(command: Command, request: number): string | null {
    switch (command.type) {
      case "open-session": {
        const answer = this.observed.answers.get(request);
        if (answer?.type !== "session-opened" || this.sessions.has(answer.session)) throw new Error("a session id twice");
        this.sessions.set(answer.session, { lockDelayMs: command.lockDelayMs, principal: command.principal });
        return "session-opened";
      }
      case "close-session":
        return this.endSession(command.session, false);
      case "acquire":
        return this.acquire(command, request);
      case "release":
        return this.release(command);
      case "release-set":
        return this.releaseSet(command);
      case "upgrade":
        return this.upgrade(command, request);
      case "downgrade":
        return this.downgrade(command);
      case "cancel": {
        const wait = this.waits.find((each) => this.isOf(each, command.actor) && each.tickets.some(({ name }) => name === command.name));
        if (wait === undefined) return "not-found";
        this.endWait(wait, "cancelled");
        this.settle();
        return "done";
      }
      case "force-release": {
        const hit = this.holds.filter((hold) => hold.name === command.name && (command.fence === 0 || hold.fence === command.fence));
        if (hit.length === 0) return "not-found";
        for (const hold of hit) this.drop(hold, true);
        this.settle();
        return "released";
      }
      default:
        throw new Error(`the oracle does not know ${command.type}`);
    }
  }

  endSession(session: number, expired: boolean): string {
    if (!this.sessions.has(session)) return "not-found";
    for (const wait of this.waits.filter((each) => each.session === session)) this.endWait(wait, "session-lost");
    for (const hold of this.holds.filter((each) => each.session === session)) this.drop(hold, expired);
    this.sessions.delete(session);
    this.settle();
    return "done";
  }

  /** Begins a step that is no command of a client. */
  begin(observed: Observed): void {
    this.observed = observed;
    this.expected = new Map();
  }

  end(): void {
    for (const [asked, result] of this.observed.answers) this.compare(asked, this.expected.get(asked), result.type);
    for (const [asked, type] of this.expected) this.compare(asked, type, this.observed.answers.get(asked)?.type);
  }

  expireGrant(fence: number): void {
    const hold = this.holds.find((each) => each.fence === fence && each.session === 0);
    if (hold !== undefined) this.drop(hold, false);
    this.settle();
  }

  expireWait(request: number): void {
    const wait = this.waits.find((each) => each.request === request);
    if (wait !== undefined) this.endWait(wait, "busy");
    this.settle();
  }

  expireDelay(name: string, mode: LockMode): void {
    const place = this.delays.findIndex((delay) => delay.name === name && delay.mode === mode);
    if (place >= 0) this.delays.splice(place, 1);
    this.settle();
  }

  private actorFails(actor: { session: number; principal: string }): boolean {
    return actor.session !== 0 && this.sessions.get(actor.session)?.principal !== actor.principal;
  }

  private isOf(
    each: { session: number; principal: string; owner: string },
    actor: { session: number; principal: string; owner: string },
  ): boolean {
    return each.session === actor.session && each.principal === actor.principal && each.owner === actor.owner;
  }

  private sizeOf(name: string): number | null {
    const used = [...this.holds, ...this.delays, ...this.waits.flatMap((wait) => wait.tickets)].find((each) => each.name === name);
    return used === undefined ? null : used.of;
  }

  private kind(key: { name: string; of: number }): string | null {
    const size = this.sizeOf(key.name);
    return size === null || size === key.of ? null : "conflict";
  }

  private free(name: string, mode: LockMode, except = 0): boolean {
    const inUse = [...this.holds.filter((hold) => hold.name === name && (hold.fence !== except || except === 0)), ...this.delays].filter(
      (each) => each.name === name,
    );
    if (mode === "permit") return inUse.length < (this.sizeOf(name) ?? Number.POSITIVE_INFINITY);
    return inUse.every((each) => together[each.mode].includes(mode));
  }

  private acquire(command: Extract<Command, { type: "acquire" }>, request: number): string | null {
    const { actor, keys } = command;
    if (this.actorFails(actor)) return "session-lost";
    const names = keys.map((key) => key.name);
    if (keys.length > 1) {
      if (new Set(names).size !== names.length) return "malformed";
      for (const key of keys) if (key.mode === "permit" || this.kind(key) !== null) return "conflict";
    } else if (this.kind(must(keys[0])) !== null) return "conflict";
    const covered = keys.map((key) => {
      if (!command.reentrant || (command.anonymous && actor.owner === "")) return null;
      return this.holds.filter((hold) => hold.name === key.name && this.isOf(hold, actor)).sort((a, b) => a.fence - b.fence)[0] ?? null;
    });
    if (keys.some((key, i) => covered[i] !== null && (key.mode === "permit" ? 0 : rank[key.mode]) > rank[must(covered[i]).mode]))
      return "conflict";
    const open = keys.every((key, i) => covered[i] !== null || (this.queue(key.name).length === 0 && this.free(key.name, key.mode)));
    const owner = actor.owner === "" && command.anonymous ? null : actor.owner;
    if (open) {
      const result = this.observed.answers.get(request);
      if (result?.type !== "granted") throw new Error(`expected granted, got ${JSON.stringify(result)}`);
      const fences = [result.fence, ...result.more.map((key) => key.fence)];
      const name = owner ?? `anon-${++this.anonymous}`;
      keys.forEach((key, i) => {
        const own = covered[i] ?? null;
        if (own !== null) {
          own.depth++;
          if (own.fence !== fences[i]) throw new Error("re-entry under another fence");
        } else this.hold(key, actor, name, command.anonymous, must(fences[i]));
      });
      if (result.depth !== (covered[0]?.depth ?? 1) || result.owner !== name) throw new Error(`wrong grant ${JSON.stringify(result)}`);
      return "granted";
    }
    if (command.waitMs === 0) return "busy";
    if (owner !== null && names.some((name) => this.queue(name).some((wait) => this.isOf(wait, actor)))) return "conflict";
    const wait: ModelWait = {
      order: ++this.order,
      request,
      session: actor.session,
      principal: actor.principal,
      owner: owner ?? `anon-${++this.anonymous}`,
      anonymous: command.anonymous,
      upgrade: 0,
      tickets: keys.map((key, i) => ({ ...key, covered: covered[i]?.fence ?? 0 })),
    };
    this.waits.push(wait);
    this.breakDeadlocks(request);
    return this.expected.get(request) ?? null;
  }

  private hold(
    key: { name: string; mode: LockMode; of: number },
    actor: { session: number; principal: string },
    owner: string,
    anonymous: boolean,
    fence: number,
  ): void {
    if (this.holds.some((each) => each.fence === fence) || fence <= 0) throw new Error(`fence ${fence} twice`);
    this.highestFence = Math.max(this.highestFence, fence);
    const { session, principal } = actor;
    this.holds.push({ ...key, session, principal, owner, fence, depth: 1, anonymous });
  }

  private find(actor: { session: number; principal: string; owner: string }, name: string, fence: number): ModelHold | string {
    const mine = this.holds.filter((hold) => hold.name === name && this.isOf(hold, actor)).sort((a, b) => a.fence - b.fence);
    const hold = fence === 0 ? mine[0] : mine.find((each) => each.fence === fence);
    if (hold !== undefined) return hold;
    return fence !== 0 && mine.length > 0 ? "stale-fence" : "not-held";
  }

  private release(command: Extract<Command, { type: "release" }>): string {
    const { actor, name, fence } = command;
    if (this.actorFails(actor)) return "session-lost";
    let hold: ModelHold | string = this.find(actor, name, fence);
    if (command.anonymous) {
      const found = this.holds
        .filter((each) => each.name === name && each.anonymous && each.session === actor.session && each.principal === actor.principal)
        .sort((a, b) => a.fence - b.fence)
        .find((each) => fence === 0 || each.fence === fence);
      hold = found ?? "not-held";
    }
    if (typeof hold === "string") return hold;
    if (hold.depth > 1) hold.depth--;
    else this.drop(hold, false);
    this.settle();
    return "released";
  }

  private releaseSet(command: Extract<Command, { type: "release-set" }>): string {
    if (this.actorFails(command.actor)) return "session-lost";
    const found = command.locks.map(({ name, fence }) => this.find(command.actor, name, fence));
    const wrong = found.find((each) => typeof each === "string");
    const holds = found.filter((each) => typeof each !== "string");
    const firstWrong = found.findIndex((each) => typeof each === "string");
    const twice = found.findIndex((each, i) => typeof each !== "string" && found.indexOf(each) < i);
    if (twice >= 0 && (firstWrong < 0 || twice < firstWrong)) return "malformed";
    if (wrong !== undefined) return wrong;
    for (const hold of holds) {
      if (hold.depth > 1) hold.depth--;
      else this.drop(hold, false);
    }
    this.settle();
    return "released";
  }

  private upgrade(command: Extract<Command, { type: "upgrade" }>, request: number): string | null {
    const { actor, name, mode } = command;
    if (this.actorFails(actor)) return "session-lost";
    const hold = this.find(actor, name, command.fence);
    if (typeof hold === "string") return hold;
    if (hold.of !== 0 || mode === "permit" || rank[mode] <= rank[hold.mode]) return "conflict";
    if (this.waits.some((wait) => wait.upgrade === hold.fence)) return "conflict";
    const rivals = this.queue(name).filter((wait) => wait.upgrade > 0);
    const ready = rivals.length === 0 && this.free(name, mode, hold.fence);
    if (!ready && command.waitMs === 0) {
      const rivalWants = rivals[0]?.tickets[0]?.mode;
      return rivalWants !== undefined && !together[hold.mode].includes(rivalWants) ? "deadlock" : "busy";
    }
    const { session, principal, owner, anonymous, fence } = hold;
    this.waits.push({
      order: ++this.order,
      request,
      session,
      principal,
      owner,
      anonymous,
      upgrade: fence,
      tickets: [{ name, mode, of: 0, covered: 0 }],
    });
    this.breakDeadlocks(request);
    return this.expected.get(request) ?? null;
  }

  private downgrade(command: Extract<Command, { type: "downgrade" }>): string {
    const { actor, name, mode } = command;
    if (this.actorFails(actor)) return "session-lost";
    const hold = this.find(actor, name, command.fence);
    if (typeof hold === "string") return hold;
    if (this.waits.some((wait) => wait.upgrade === hold.fence)) return "conflict";
    if (hold.mode === "permit" || mode === "permit" || rank[mode] >= rank[hold.mode]) return "conflict";
    hold.mode = mode;
    for (const wait of this.waits) {
      for (const ticket of wait.tickets) if (ticket.covered === hold.fence && rank[ticket.mode] > rank[mode]) ticket.covered = 0;
    }
    this.settle();
    return "granted";
  }

  private drop(hold: ModelHold, delayed: boolean): void {
    this.holds.splice(this.holds.indexOf(hold), 1);
    const lockDelayMs = this.sessions.get(hold.session)?.lockDelayMs ?? 0;
    if (delayed && lockDelayMs > 0) this.delays.push({ name: hold.name, mode: hold.mode, of: hold.of });
    for (const wait of this.waits.filter((each) => each.upgrade === hold.fence)) this.endWait(wait, "not-held");
    for (const wait of this.waits) for (const ticket of wait.tickets) if (ticket.covered === hold.fence) ticket.covered = 0;
  }

  private endWait(wait: ModelWait, answer: string): void {
    this.waits.splice(this.waits.indexOf(wait), 1);
    this.expected.set(wait.request, answer);
  }

  private settle(): void {
    this.breakDeadlocks(0);
  }

  /** Grants whatever can be granted; the order does not matter for who gets what. */
  private grantAll(): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const wait of this.waits.slice()) {
        const ready = wait.tickets.every(
          ({ name, mode, covered }) => covered > 0 || (this.queue(name)[0] === wait && this.free(name, mode, wait.upgrade)),
        );
        if (!ready) continue;
        moved = true;
        this.endWait(wait, "granted");
        const result = this.observed.answers.get(wait.request);
        if (result?.type !== "granted") throw new Error(`request ${wait.request}: expected granted, got ${JSON.stringify(result)}`);
        const fences = [result.fence, ...result.more.map((key) => key.fence)];
        wait.tickets.forEach((ticket, i) => this.take(wait, ticket, must(fences[i])));
      }
    }
  }

  private take(wait: ModelWait, ticket: ModelTicket, fence: number): void {
    const before = this.highestFence;
    if (wait.upgrade > 0) {
      const hold = must(this.holds.find((each) => each.fence === wait.upgrade));
      for (const other of this.waits) for (const each of other.tickets) if (each.covered === hold.fence) each.covered = fence;
      hold.mode = ticket.mode;
      hold.fence = fence;
      this.highestFence = Math.max(before, fence);
    } else if (ticket.covered > 0) {
      const hold = must(this.holds.find((each) => each.fence === ticket.covered));
      hold.depth++;
    } else this.hold({ name: ticket.name, mode: ticket.mode, of: ticket.of }, wait, wait.owner, wait.anonymous, fence);
  }

  /** Deadlocked waits must lose victims until none is left, and only deadlocked waits may. */
  private breakDeadlocks(entering: number): void {
    for (;;) {
      const dead = deadWaits(this.holds, this.waits);
      if (dead.length === 0) break;
      const victims = dead.filter((wait) => this.observed.answers.get(wait.request)?.type === "deadlock");
      const victim = victims[0];
      if (victim === undefined) throw new Error(`a deadlock of ${dead.map((wait) => wait.owner).join()} was not broken`);
      const own = dead.find((wait) => wait.request === entering);
      // A request at the end of its lines is in every cycle that it closes, and it is the youngest.
      if (own !== undefined && own.upgrade === 0 && own !== victim) throw new Error("the victim is not the youngest of the cycle");
      this.deadlocks++;
      this.endWait(victim, "deadlock");
    }
    this.grantAll();
  }
}
