import { type ApplySink, SystemState, checkSystem } from "@trivet/core";
import type { Command, LockMode, Result } from "@trivet/wire";
import type { Wait } from "../../src/locks/wait.ts";

/** What a small world of owners and locks can do. Owner and lock are numbers from 0. */
export type Action =
  | { readonly type: "acquire"; readonly owner: number; readonly lock: number; readonly mode: LockMode }
  | { readonly type: "acquire-both"; readonly owner: number; readonly modes: readonly LockMode[] }
  | { readonly type: "reenter"; readonly owner: number; readonly lock: number }
  | { readonly type: "upgrade" | "downgrade"; readonly owner: number; readonly lock: number; readonly mode: LockMode }
  | { readonly type: "release" | "cancel" | "timeout"; readonly owner: number; readonly lock: number }
  | { readonly type: "end-session"; readonly owner: number };

export interface World {
  readonly owners: number;
  readonly locks: number;
  readonly modes: readonly LockMode[];
  /** Modes that a set asks for; empty = no sets. */
  readonly setModes: readonly LockMode[];
  readonly conversions: boolean;
  readonly reentry: boolean;
}

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  readonly deadlocks: number;
  readonly longest: number;
}

/**
 * Visits every state that the world can reach, up to renaming owners and locks, breadth first, and checks all invariants in each; in
 * each transition, that every request is answered once and that only deadlocked requests are told so.
 */
export function explore(world: World, maxStates: number): Explored {
  const replay = new Replay(world);
  const seen = new Set<string>([replay.canonical()]);
  // Under their first names: most transitions lead to a state that was met exactly so, which is cheaper to tell.
  const met = new Set<string>();
  let frontier: Action[][] = [[]];
  let transitions = 0;
  let longest = 0;
  while (frontier.length > 0) {
    const next: Action[][] = [];
    for (const path of frontier) {
      replay.run(path);
      for (const action of replay.possible()) {
        transitions++;
        const longer = [...path, action];
        try {
          replay.run(longer);
          const plain = replay.plain();
          if (met.has(plain)) continue;
          met.add(plain);
          const state = replay.canonical();
          if (seen.has(state)) continue;
          checkSystem(replay.state);
          seen.add(state);
          next.push(longer);
        } catch (error) {
          throw new Error(`${String(error)} after ${JSON.stringify(longer)}`, { cause: error });
        }
      }
      if (seen.size > maxStates) throw new Error(`more than ${maxStates} states`);
    }
    if (next.length > 0) longest++;
    frontier = next;
  }
  return { states: seen.size, transitions, deadlocks: replay.deadlocks, longest };
}

/** One state machine, cleared and led along another path again and again: far cheaper than building a new one. */
class Replay implements ApplySink {
  readonly state = new SystemState();
  deadlocks = 0;
  private readonly world: World;
  private readonly permutations: readonly (readonly number[])[];
  private readonly lockOrders: readonly (readonly number[])[];
  private sessions: number[] = [];
  private answered = new Set<number>();
  private request = 0;

  constructor(world: World) {
    this.world = world;
    this.permutations = permutationsOf(world.owners);
    this.lockOrders = permutationsOf(world.locks);
    this.clear();
  }

  answer(_caller: string, sequence: number, result: Result): void {
    if (this.answered.has(sequence)) throw new Error(`request ${sequence} is answered twice`);
    this.answered.add(sequence);
    if (result.type === "deadlock") this.deadlocks++;
  }

  changed(): void {}

  run(path: readonly Action[]): void {
    this.clear();
    for (const action of path) this.act(action);
  }

  possible(): Action[] {
    const { owners, locks, modes, setModes, conversions, reentry } = this.world;
    const actions: Action[] = [];
    for (let owner = 0; owner < owners; owner++) {
      let involved = false;
      let mayTakeBoth = true;
      let held = 0;
      for (let lock = 0; lock < locks; lock++) {
        const hold = this.hold(owner, lock);
        const waits = this.waitOf(owner, lock) !== undefined;
        if (hold !== undefined || waits) involved = true;
        if (waits || (hold !== undefined && hold.depth > 1)) mayTakeBoth = false;
        if (hold !== undefined) held++;
        if (waits) actions.push({ type: "cancel", owner, lock }, { type: "timeout", owner, lock });
        if (hold === undefined) {
          if (!waits) for (const mode of modes) actions.push({ type: "acquire", owner, lock, mode });
          continue;
        }
        actions.push({ type: "release", owner, lock });
        if (reentry && hold.depth === 1) actions.push({ type: "reenter", owner, lock });
        if (!conversions) continue;
        for (const mode of modes) {
          if (mode === hold.mode) continue;
          actions.push({ type: strength[mode] > strength[hold.mode] ? "upgrade" : "downgrade", owner, lock, mode });
        }
      }
      if (involved) actions.push({ type: "end-session", owner });
      if (!mayTakeBoth || held === locks) continue;
      for (const first of setModes) for (const second of setModes) actions.push({ type: "acquire-both", owner, modes: [first, second] });
    }
    return actions;
  }

  /** The state without ids. */
  plain(): string {
    return this.describe(this.permutations[0] as readonly number[], this.lockOrders[0] as readonly number[]);
  }

  /** The state without ids and names: the least of its descriptions under all renamings. */
  canonical(): string {
    let least: string | null = null;
    for (const owners of this.permutations) {
      for (const locks of this.lockOrders) {
        const text = this.describe(owners, locks);
        if (least === null || text < least) least = text;
      }
    }
    return least ?? "";
  }

  private describe(owners: readonly number[], locks: readonly number[]): string {
    const { lockState } = this.state;
    const waits = [...lockState.waits.values()].sort((a, b) => a.id - b.id);
    const rank = new Map<Wait, number>(waits.map((wait, i) => [wait, i]));
    const who = (session: number): number => owners[this.sessions.indexOf(session)] ?? -1;
    let text = "";
    for (const name of locks) {
      const lock = lockState.table.get(`${name}`);
      text += "|";
      const holds: string[] = [];
      for (let hold = lock?.firstHold ?? null; hold !== null; hold = hold.nextOfLock) {
        holds.push(`${who(hold.account.session)}${hold.mode[0]}${hold.depth}`);
      }
      text += `${holds.sort().join("")}:`;
      for (let ticket = lock?.firstTicket ?? null; ticket !== null; ticket = ticket.next) {
        const upgrade = ticket.wait.upgrade === null ? "" : "+";
        text += `${who(ticket.wait.account.session)}${ticket.mode[0]}${upgrade}${ticket.coveredBy === null ? "" : "c"}@${rank.get(ticket.wait)}`;
      }
    }
    return text;
  }

  private clear(): void {
    for (const session of this.sessions) this.apply({ type: "close-session", session });
    this.sessions = [];
    for (let owner = 0; owner < this.world.owners; owner++) this.sessions.push(this.open());
    this.answered = new Set();
  }

  private open(): number {
    const opened = this.apply({ type: "open-session", ttlMs: 1000, lockDelayMs: 0, principal: "", label: "" });
    if (typeof opened === "number" || opened.type !== "session-opened") throw new Error("no session");
    return opened.session;
  }

  private act(action: Action): void {
    const session = this.sessions[action.owner] as number;
    const actor = { session, principal: "", owner: `${action.owner}` };
    const ask = { type: "acquire", actor, ttlMs: 0, waitMs: 1000, reentrant: false, anonymous: false } as const;
    switch (action.type) {
      case "acquire":
        return void this.apply({ ...ask, keys: [{ name: `${action.lock}`, mode: action.mode, of: 0 }] });
      case "acquire-both":
        return void this.apply({ ...ask, keys: action.modes.map((mode, lock) => ({ name: `${lock}`, mode, of: 0 })), reentrant: true });
      case "reenter":
        return void this.apply({ ...ask, keys: [{ name: `${action.lock}`, mode: "shared", of: 0 }], reentrant: true });
      case "upgrade":
      case "downgrade":
        return void this.apply({ type: action.type, actor, name: `${action.lock}`, fence: 0, mode: action.mode, waitMs: 1000 });
      case "release":
        return void this.apply({ type: "release", actor, name: `${action.lock}`, fence: 0, anonymous: false });
      case "cancel":
        return void this.apply({ type: "cancel", actor, name: `${action.lock}`, caller: "", sequence: 0 });
      case "timeout":
        return void this.apply({ type: "expire", kind: "wait", id: this.waitOf(action.owner, action.lock)?.id ?? 0 }, "");
      case "end-session":
        this.apply({ type: "expire", kind: "session", id: session }, "");
        this.sessions[action.owner] = this.open();
    }
  }

  private apply(command: Command, caller = "c"): Result | number {
    const sequence = ++this.request;
    const result = this.state.applyCommand(command, caller, sequence, this);
    if (typeof result !== "number") this.answer(caller, sequence, result);
    return result;
  }

  private hold(owner: number, lock: number): { readonly mode: LockMode; readonly depth: number } | undefined {
    const session = this.sessions[owner];
    for (let hold = this.state.lockState.table.get(`${lock}`)?.firstHold ?? null; hold !== null; hold = hold.nextOfLock) {
      if (hold.account.session === session) return hold;
    }
    return undefined;
  }

  private waitOf(owner: number, lock: number): Wait | undefined {
    const session = this.sessions[owner];
    for (let ticket = this.state.lockState.table.get(`${lock}`)?.firstTicket ?? null; ticket !== null; ticket = ticket.next) {
      if (ticket.wait.account.session === session) return ticket.wait;
    }
    return undefined;
  }
}

const strength: Readonly<Record<LockMode, number>> = { shared: 1, update: 2, exclusive: 3, permit: 0 };

function permutationsOf(count: number): number[][] {
  if (count === 0) return [[]];
  return permutationsOf(count - 1).flatMap((rest) =>
    Array.from({ length: count }, (_, place) => [...rest.slice(0, place), count - 1, ...rest.slice(place)]),
  );
}
