import type {
  AcquireLock,
  Actor,
  Command,
  DowngradeLock,
  Expire,
  LockKey,
  ReleaseLock,
  ReleaseSet,
  Result,
  SetLease,
  UpgradeLock,
} from "@trivet/wire";

import { granted, type Heard, LockGrants, ReferenceError, type Said } from "./lock-grants.ts";
import { covers, type RefHold, stronger, together } from "./table.ts";

export { ReferenceError, type Said };

/** Bounds the reference keeps; the real ones of a cluster are far away. */
export interface RefLimits {
  readonly sessions: number;
  readonly locks: number;
  readonly waiters: number;
  readonly reentryDepth: number;
}
const noLimits: RefLimits = { sessions: Infinity, locks: Infinity, waiters: Infinity, reentryDepth: Infinity };

/**
 * A second lock service, naive on purpose: no indexes, no counters beside the replicated ones, no code in common with the first. It says
 * what each command must answer, so the log itself is checked answer by answer (witness check), and pure-core mutants have an opponent.
 */
export class LockReference extends LockGrants {
  private readonly limits: RefLimits;

  constructor(limits: RefLimits = noLimits) {
    super();
    this.limits = limits;
  }

  /** Carries out one command. Returns its own answer (null = it waits) and what it made others hear. */
  execute(command: Command, request: string, heard: Heard): { readonly own: Result | null; readonly said: readonly Said[] } {
    this.heard = heard;
    this.said = [];
    this.grantedTo = [];
    this.freshFences = [];
    this.uncovered = [];
    const first = this.lastFence;
    const own = this.run(command, request);
    // Rule K1: +1 per grant, each once.
    const sorted = [...this.freshFences].sort((a, b) => a - b);
    if (sorted.some((fence, i) => fence !== first + i + 1)) throw new ReferenceError(`fences ${sorted.join()} after ${first}`);
    this.lastFence = first + sorted.length;
    const dead = this.table.deadlocked();
    if (dead.length > 0) throw new ReferenceError(`deadlock-free: ${dead.map((wait) => wait.owner).join(", ")} can never go on`);
    return { own, said: this.said };
  }

  private run(command: Command, request: string): Result | null {
    switch (command.type) {
      case "nothing":
        return { type: "done" };
      case "open-session":
        if (command.ttlMs === 0) return malformed;
        if (this.sessions.size >= this.limits.sessions) return quota;
        this.lastSession += 1;
        this.sessions.set(this.lastSession, command);
        return { type: "session-opened", session: this.lastSession, ttlMs: command.ttlMs };
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
      case "set-lease":
        return this.setLease(command);
      case "cancel": {
        const wait =
          command.caller === "" ? this.waitAt(command.actor, command.name) : this.waitOf(`${command.caller}/${command.sequence}`);
        if (wait === null) return { type: "not-found", what: "wait" };
        this.endWait(wait, { type: "cancelled" });
        this.settle();
        return { type: "done" };
      }
      case "force-release": {
        const holds = this.table.holdsOf(command.name).filter((hold) => command.fence === 0 || hold.fence === command.fence);
        const last = holds.at(-1);
        if (last === undefined) return { type: "not-found", what: "lock" };
        for (const hold of holds) this.endHold(hold, true);
        this.settle();
        return this.released(last.fence);
      }
      case "expire":
        return this.expire(command);
      case "set-node":
      case "forget-node":
      case "replace-node":
      case "drain-node":
      case "define-queue":
      case "delete-queue":
      case "define-namespace":
      case "delete-namespace":
      case "set-placement":
      case "raise-level":
      case "anchor-audit":
        return null;
      default:
        return command satisfies never;
    }
  }

  private acquire(command: AcquireLock, request: string): Result | null {
    const { actor, keys } = command;
    if (actor.session === 0 && command.ttlMs === 0) return malformed;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    const single = keys.length === 1;
    if (!single && (keys.length === 0 || new Set(keys.map((key) => key.name)).size !== keys.length)) return malformed;
    for (const key of keys) {
      const wrong = this.kindConflict(key, !single);
      if (wrong !== null) return wrong;
    }
    const unnamed = command.anonymous && actor.owner === "";
    if (single && command.reentrant && !unnamed) {
      const again = this.reenter(command, account);
      if (again !== null) return again;
    }
    if (this.claimed(account) + keys.length > this.limits.locks) return quota;
    const covering = keys.map((key) => (single || !command.reentrant || unnamed ? null : this.ownHold(key.name, account, actor.owner)));
    for (const [i, key] of keys.entries()) {
      const cover = covering[i] ?? null;
      if (cover !== null && !covers(cover.mode, key.mode)) return conflict("mode");
      if (cover !== null && cover.depth + 1 >= this.limits.reentryDepth) return quota;
    }
    const blocked = keys.find((key, i) => (covering[i] ?? null) === null && !this.isFree(key));
    if (blocked === undefined) return this.grantNow(command, request, account, covering);
    if (command.waitMs === 0) return this.busy(blocked.name, false);
    if (!unnamed && keys.some((key) => this.waitAt(actor, key.name) !== null)) return conflict("already-waiting");
    if (this.table.waits.filter((wait) => wait.account === account).length >= this.limits.waiters) return quota;
    this.lastWait += 1;
    return this.enter({
      id: this.lastWait,
      account,
      session: actor.session,
      owner: unnamed ? this.nextAnonymous() : actor.owner,
      anonymous: command.anonymous,
      request,
      waitMs: command.waitMs,
      ttlMs: actor.session === 0 ? command.ttlMs : 0,
      upgrade: null,
      tickets: keys.map((key, i) => ({ name: key.name, mode: key.mode, of: sizeAsked(key), cover: covering[i] ?? null })),
    });
  }

  private kindConflict(key: LockKey, inSet: boolean): Result | null {
    if (inSet && key.mode === "permit") return conflict("lock-kind");
    if (key.mode === "permit" && key.of === 0) return malformed;
    const size = this.table.sizeOf(key.name);
    const asked = sizeAsked(key);
    if (size === null || size === asked) return null;
    return conflict(size !== 0 && asked !== 0 ? "semaphore-size" : "lock-kind");
  }

  private reenter(command: AcquireLock, account: string): Result | null {
    const key = command.keys[0] as LockKey;
    const own = this.ownHold(key.name, account, command.actor.owner);
    if (own === null) return null;
    if (!covers(own.mode, key.mode)) return conflict("mode");
    if (own.depth >= this.limits.reentryDepth) return quota;
    own.depth += 1;
    if (own.ttlMs !== 0) own.ttlMs = Math.max(own.ttlMs, command.ttlMs);
    return granted(own, []);
  }

  private grantNow(command: AcquireLock, request: string, account: string, covering: readonly (RefHold | null)[]): Result {
    const { actor } = command;
    const owner = command.anonymous && actor.owner === "" ? this.nextAnonymous() : actor.owner;
    const holds = command.keys.map((key, i) => {
      const cover = covering[i] ?? null;
      if (cover !== null) {
        cover.depth += 1;
        if (cover.ttlMs !== 0) cover.ttlMs = Math.max(cover.ttlMs, command.ttlMs);
        return cover;
      }
      const hold: RefHold = {
        name: key.name,
        of: sizeAsked(key),
        account,
        session: actor.session,
        owner,
        anonymous: command.anonymous,
        mode: key.mode,
        fence: this.fresh(request, i),
        depth: 1,
        ttlMs: actor.session === 0 ? command.ttlMs : 0,
      };
      this.table.holds.push(hold);
      return hold;
    });
    return granted(holds[0] as RefHold, holds.slice(1));
  }

  private release(command: ReleaseLock): Result {
    const { actor, name, fence } = command;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    const found = command.anonymous
      ? (this.table.holdsOf(name).find((hold) => hold.anonymous && hold.account === account && (fence === 0 || hold.fence === fence)) ??
        this.notHeld(name))
      : this.find(account, actor.owner, name, fence);
    if ("type" in found) return found;
    if (found.depth > 1) {
      found.depth -= 1;
      return { type: "released", fence: found.fence, remaining: found.depth, grantedTo: [] };
    }
    this.endHold(found, false);
    this.settle();
    return this.released(found.fence);
  }

  private releaseSet(command: ReleaseSet): Result {
    const { actor } = command;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    if (command.locks.length === 0) return malformed;
    const holds: RefHold[] = [];
    for (const { name, fence } of command.locks) {
      const found = this.find(account, actor.owner, name, fence);
      if ("type" in found) return found;
      if (holds.includes(found)) return malformed;
      holds.push(found);
    }
    for (const hold of holds) {
      if (hold.depth > 1) hold.depth -= 1;
      else this.endHold(hold, false);
    }
    this.settle();
    return this.released(command.locks[0]?.fence ?? 0);
  }

  private upgrade(command: UpgradeLock, request: string): Result | null {
    const { actor, name, mode } = command;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    const hold = this.find(account, actor.owner, name, command.fence);
    if ("type" in hold) return hold;
    if (hold.of !== 0 || mode === "permit") return conflict("not-upgradable");
    if (!stronger(mode, hold.mode)) return conflict("mode");
    if (this.table.waits.some((wait) => wait.upgrade === hold)) return conflict("already-waiting");
    const first = this.table.line(name)[0];
    const rival = first !== undefined && first.wait.upgrade !== null ? first : null;
    const ready = rival === null && this.table.admits(name, 0, mode, hold);
    const ownerWaits = this.table.waits.some((wait) => wait.account === account && wait.owner === hold.owner);
    if (ready && (first === undefined || !ownerWaits)) {
      this.strengthen(hold, mode, request);
      return granted(hold, []);
    }
    if (!ready && command.waitMs === 0) {
      if (rival !== null && rival.wait.upgrade !== hold && !together(hold.mode, rival.ticket.mode)) return { type: "deadlock", cycle: [] };
      return this.busy(name, false);
    }
    if (this.table.waits.filter((wait) => wait.account === account).length >= this.limits.waiters) return quota;
    this.lastWait += 1;
    const { owner, anonymous, ttlMs } = hold;
    const tickets = [{ name, mode, of: 0, cover: null }];
    return this.enter({
      id: this.lastWait,
      account,
      session: actor.session,
      owner,
      anonymous,
      request,
      waitMs: command.waitMs,
      ttlMs,
      upgrade: hold,
      tickets,
    });
  }

  private downgrade(command: DowngradeLock): Result {
    const { actor, name, mode } = command;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    const hold = this.find(account, actor.owner, name, command.fence);
    if ("type" in hold) return hold;
    if (this.table.waits.some((wait) => wait.upgrade === hold)) return conflict("already-waiting");
    if (!stronger(hold.mode, mode)) return conflict("mode");
    hold.mode = mode;
    this.uncover(hold, (asked) => !covers(mode, asked));
    const answer = granted(hold, []);
    this.settle();
    return answer;
  }

  private setLease(command: SetLease): Result {
    const { actor } = command;
    const account = this.accountOf(actor);
    if (account === null) return lost(actor);
    const hold = this.find(account, actor.owner, command.name, command.fence);
    if ("type" in hold) return hold;
    if (hold.ttlMs === 0) return conflict("lock-kind");
    if (command.ttlMs === 0) return malformed;
    hold.ttlMs = command.ttlMs;
    return { type: "done" };
  }

  private expire({ kind, id }: Expire): Result {
    if (kind === "session") return this.endSession(id, true);
    const { table } = this;
    if (kind === "grant") {
      const hold = table.holds.find((each) => each.fence === id && each.session === 0);
      if (hold === undefined) return { type: "not-found", what: "lock" };
      this.endHold(hold, false);
    } else if (kind === "wait") {
      const wait = table.waits.find((each) => each.id === id);
      if (wait === undefined) return { type: "not-found", what: "wait" };
      const ticket = wait.tickets.find((each) => !table.isReady(wait, each)) ?? wait.tickets[0];
      this.endWait(wait, this.busy(ticket?.name ?? "", true));
    } else {
      const delay = table.delays.find((each) => each.id === id);
      if (delay === undefined) return { type: "not-found", what: "lock" };
      table.delays = table.delays.filter((each) => each !== delay);
    }
    this.settle();
    return { type: "done" };
  }

  private endSession(id: number, expired: boolean): Result {
    if (!this.sessions.has(id)) return { type: "not-found", what: "session" };
    for (const wait of this.table.waits.filter((each) => each.session === id)) this.endWait(wait, { type: "session-lost", session: id });
    for (const hold of this.table.holds.filter((each) => each.session === id).sort((a, b) => a.fence - b.fence))
      this.endHold(hold, expired);
    this.sessions.delete(id);
    this.settle();
    return { type: "done" };
  }

  private isFree(key: LockKey): boolean {
    return this.table.line(key.name).length === 0 && this.table.admits(key.name, sizeAsked(key), key.mode, null);
  }

  private claimed(account: string): number {
    const waiting = this.table.waits.filter((wait) => wait.account === account && wait.upgrade === null);
    return this.table.holds.filter((hold) => hold.account === account).length + waiting.reduce((sum, wait) => sum + wait.tickets.length, 0);
  }
}

const malformed: Result = { type: "malformed", detail: "" };
const quota: Result = { type: "quota", limit: "", max: 0 };
const lost = (actor: Actor): Result => ({ type: "session-lost", session: actor.session });
const conflict = (reason: Extract<Result, { type: "conflict" }>["reason"]): Result => ({ type: "conflict", reason, detail: "" });
const sizeAsked = (key: LockKey): number => (key.mode === "permit" ? key.of : 0);
