import type { HolderEffect, HolderState, ReadMode } from "../../../src/coherence/holder-state.ts";
import { newHolder } from "../../../src/coherence/holder-state.ts";
import { stepHolder } from "../../../src/coherence/holder.ts";
import type { HomeEffect, HomeEvent, HomeState, Proposed } from "../../../src/coherence/home-state.ts";
import { newHome } from "../../../src/coherence/home-state.ts";
import { stepHome } from "../../../src/coherence/home.ts";
import { barrierHolds } from "../../../src/coherence/home-phase.ts";
import { type CachedRecord, type HolderMessage, type HomeMessage, lineName } from "../../../src/coherence/messages.ts";
import { type CoherenceLimits, defaultCoherenceLimits } from "../../../src/coherence/limits.ts";
import type { CoherenceTiming, Moment } from "../../../src/coherence/timing.ts";
import { readableCopy } from "../../../src/coherence/reading.ts";
import { clone } from "./clone.ts";
import { applyTo, emptyStore, type Kind, kinds, recordOf, type Store } from "./store.ts";

export const line: string = lineName("ns", "k");

/** T is two ticks; clocks are perfect, so that every boundary is met exactly. */
const timing: CoherenceTiming = Object.freeze({
  leaseMs: 2,
  clockRateError: 0,
  renewEveryMs: 1,
  barMs: 4,
  longestBarMs: 8,
  forgetAfterMs: 1_000_000,
});
const writeThrough: ReadMode = Object.freeze({ type: "write-through" });
const uncopied: ReadMode = Object.freeze({ type: "uncopied" });
/** The node that a program without copies asks. */
const askedNode = 0;

export type ReadMessage = Extract<HolderMessage, { readonly type: "read" }>;

export interface Letter {
  readonly toHome: boolean;
  readonly holder: number;
  readonly term: number;
  readonly message: HolderMessage | HomeMessage;
}

/** What a home has asked of its host. `home` is the place of the home. */
export interface Errand {
  readonly type: "propose" | "confirm" | "read" | "read-confirmed";
  readonly home: number;
  readonly number: number;
  readonly what: Proposed | null;
  readonly line: string;
}

export interface PlacedHome {
  readonly state: HomeState;
  /** What is applied there. */
  store: Store;
  alive: boolean;
}

/**
 * Holders, homes, the network between them and the shard's log, as one value that can be copied. Homes and holders are the real reducers;
 * the rest is the least that hosts do.
 */
export class World {
  now = 0;
  holders: HolderState[] = [];
  homes: PlacedHome[] = [];
  /** Place of the home that Raft has made leader; -1 = none. */
  leader = -1;
  term = 0;
  letters: Letter[] = [];
  errands: Errand[] = [];
  /** By waiter: change before which an answer would be stale. */
  reads: Map<number, number> = new Map();
  writes: Set<number> = new Set();
  /** Which holder is a program that keeps no copies; null = none. */
  program: number | null = null;
  /** By waiter at the asked node: what the program has asked it. */
  relays: Map<number, ReadMessage> = new Map();
  /** Given up by their callers. */
  abandoned: ReadonlySet<number> = new Set();
  /** The newest change that anybody was told of. */
  told = 0;
  nextWaiter = 1;
  /** What homes have told their hosts. */
  events: readonly string[] = [];
  /** The store is read in a step of its own, and rounds take time. */
  slow = false;
  /** By waiter: the version it was answered with, where somebody asks. Not part of the state. */
  answers: Map<number, number | null> | null = null;

  static with(holders: number, limits: Partial<CoherenceLimits> = {}): World {
    const world = new World();
    const frozen = Object.freeze({ ...defaultCoherenceLimits, ...limits });
    for (let i = 0; i < holders; i++) world.holders.push(newHolder(nameOf(i), 1, timing, frozen));
    world.limits = frozen;
    return world;
  }
  limits: CoherenceLimits = defaultCoherenceLimits;

  /** Holders and homes are shared until one of them takes a step. */
  copy(): World {
    const copy = new World();
    Object.assign(copy, this);
    copy.holders = [...this.holders];
    copy.homes = [...this.homes];
    copy.reads = new Map(this.reads);
    copy.relays = new Map(this.relays);
    copy.writes = new Set(this.writes);
    copy.own = new Set();
    return copy;
  }
  /** What this copy has made its own. */
  private own: Set<object> = new Set();

  private ownHolder(index: number): HolderState {
    let holder = this.holders[index] as HolderState;
    if (!this.own.has(holder)) {
      holder = clone(holder);
      this.holders[index] = holder;
      this.own.add(holder);
    }
    return holder;
  }

  private ownHome(place: number): PlacedHome {
    let home = this.homes[place] as PlacedHome;
    if (!this.own.has(home)) {
      home = clone(home);
      this.homes[place] = home;
      this.own.add(home);
    }
    return home;
  }

  /** The last of the holders keeps no copies of what it reads as a program, and the first is its node. */
  withProgram(): this {
    this.program = this.holders.length - 1;
    const holder = this.ownHolder(this.program);
    this.holders[this.program] = { ...holder, asksNode: true };
    return this;
  }

  get moment(): Moment {
    return { steady: this.now, wall: this.now };
  }

  /** The state as the log has it. */
  get committed(): Store {
    const home = this.homes[this.leader];
    if (home === undefined) throw new Error("nobody leads");
    return home.store;
  }

  // ── Leadership ──

  /** `place` becomes leader: a new home, or one that was before. Of what the last leader has proposed, the first `surviving` were in time. */
  elect(place: number, surviving: number): void {
    const former = this.homes[this.leader];
    const store = former === undefined ? emptyStore() : clone(former.store);
    const left = this.errands.filter((errand) => errand.home === this.leader && errand.type === "propose");
    // What it had proposed is in the new leader's log or nowhere; who was deposed does not hear of it.
    this.errands = this.errands.filter((errand) => !left.includes(errand));
    for (const { what } of left.slice(0, surviving)) if (what !== null) applyTo(store, what, this.term);
    const previousTerm = this.term;
    this.term += 1;
    const known = this.homes[place] === undefined ? newHome(timing, this.limits) : clone(this.homes[place].state);
    const home = { state: known, store, alive: true };
    this.homes[place] = home;
    this.own.add(home);
    if (place === this.leader) this.errands = this.errands.filter((errand) => errand.home !== place);
    this.leader = place;
    this.places = [...this.places];
    this.places[this.term] = place;
    this.home(place, {
      type: "elected",
      term: this.term,
      electedAt: this.now,
      registered: [...store.registered],
      barred: barrierHolds(store.marker, previousTerm),
      now: this.now,
    });
  }

  /** Nothing is left of this home but what is in the log. */
  crashHome(place: number): void {
    const home = this.homes[place] as PlacedHome;
    this.homes[place] = { state: newHome(timing, this.limits), store: home.store, alive: false };
    this.errands = this.errands.filter((errand) => errand.home !== place || errand.type === "propose");
  }

  // ── Clients ──

  read(holder: number, mode: ReadMode = writeThrough): number {
    const waiter = this.nextWaiter++;
    this.reads.set(waiter, this.told);
    this.holder(holder, { type: "read", line, mode, waiter, now: this.moment });
    return waiter;
  }

  write(holder: number, kind: Kind = "put"): number {
    const waiter = this.nextWaiter++;
    this.writes.add(waiter);
    const command = new Uint8Array([waiter, kinds[kind]]);
    this.holder(holder, { type: "write", line, command, keep: holder !== this.program, waiter, now: this.moment });
    return waiter;
  }

  readUncopied(): number {
    return this.read(this.program ?? -1, uncopied);
  }

  /** Invalidation of the namespace, asked at the leader. */
  clear(): number {
    const waiter = this.nextWaiter++;
    this.writes.add(waiter);
    const command = new Uint8Array([waiter, kinds.clear]);
    this.home(this.leader, { type: "invalidate", namespace: "ns", tag: null, id: waiter, command, now: this.now });
    return waiter;
  }

  evict(holder: number): void {
    this.holder(holder, { type: "evict", line, now: this.moment });
  }

  /** The caller of a read or write waits no longer; what comes of a write is told to nobody. */
  abandon(holder: number, waiter: number): void {
    this.reads.delete(waiter);
    this.writes.delete(waiter);
    this.abandoned = new Set([...this.abandoned, waiter]);
    this.holder(holder, { type: "abandon", line, waiter, now: this.moment });
  }

  /** The process ends and begins anew; who waited there waits no more. */
  crashHolder(holder: number): void {
    const former = this.holders[holder] as HolderState;
    for (const known of former.lines.values()) {
      for (const waiter of [...(known.fetch?.first ?? []), ...(known.fetch?.joined ?? []), ...known.after]) {
        this.reads.delete(waiter);
        this.relays.delete(waiter);
      }
      for (const { waiter } of known.writes.values()) this.writes.delete(waiter);
    }
    // Its transactions begin anew as well: what the former is still told has the same numbers.
    const fresh = newHolder(former.id, former.incarnation + 1, timing, this.limits, former.asksNode);
    this.holders[holder] = fresh;
    this.holder(holder, { type: "home", term: this.term, now: this.moment });
  }

  // ── Steps ──

  holder(index: number, event: Parameters<typeof stepHolder>[1]): void {
    const holder = this.ownHolder(index);
    for (const effect of stepHolder(holder, event)) this.ofHolder(index, effect);
  }

  home(place: number, event: HomeEvent): void {
    const home = this.ownHome(place);
    for (const effect of stepHome(home.state, event)) this.ofHome(place, effect);
  }

  deliver(at: number, keep = false): void {
    const letter = this.letters[at] as Letter;
    if (!keep) this.letters = this.letters.filter((_, place) => place !== at);
    const { holder, message, term, toHome } = letter;
    if (!toHome) return this.holder(holder, { type: "message", message: message as HomeMessage, now: this.moment });
    if (message.type === "read") return this.askNode(message);
    for (const [place, home] of this.homes.entries()) {
      if (!home.alive || this.placeOf(term) !== place) continue;
      this.home(place, { type: "message", from: nameOf(holder), message: message as HolderMessage, now: this.now });
    }
  }

  /** As a node does for its programs: from its copy, or from what it gets for one. */
  private askNode(message: ReadMessage): void {
    const { steady, wall } = this.moment;
    const node = this.holders[askedNode] as HolderState;
    const known = node.lines.get(line);
    const copy = known === undefined ? undefined : readableCopy(node, known, steady, wall);
    if (copy !== undefined) return this.tellProgram(message, copy.record);
    const waiter = this.nextWaiter++;
    this.relays.set(waiter, message);
    this.holder(askedNode, { type: "read", line, mode: writeThrough, waiter, now: this.moment });
  }

  private tellProgram({ incarnation, line: asked, term, txn }: ReadMessage, record: CachedRecord): void {
    const message = { type: "data", term, incarnation, line: asked, txn, grant: "none", record, sequence: 0 } as const;
    this.send({ toHome: false, holder: this.program ?? -1, term, message: Object.freeze(message) });
  }

  /** Homes by term, as they were elected. */
  places: number[] = [];
  private placeOf(term: number): number {
    return this.places[term] ?? -1;
  }

  run(at: number): void {
    const errand = this.errands[at] as Errand;
    this.errands = this.errands.filter((_, place) => place !== at);
    const { home: place, line: asked, number, type, what } = errand;
    const { store } = this.ownHome(place);
    switch (type) {
      case "confirm":
        return this.home(place, { type: "confirmed", round: number, now: this.now });
      case "read":
        return this.home(place, { type: "value", line: asked, record: recordOf(store), due: null, now: this.now });
      case "read-confirmed":
        return this.home(place, { type: "confirmed-value", read: number, record: recordOf(store), now: this.now });
      case "propose": {
        const outcome = what === null ? null : applyTo(store, what, this.term);
        const record = outcome === null ? null : recordOf(store);
        return this.home(place, { type: "applied", proposal: number, outcome, record, now: this.now });
      }
    }
  }

  pass(): void {
    this.now += 1;
  }

  private ofHolder(index: number, effect: HolderEffect): void {
    switch (effect.type) {
      case "send":
        return this.send({ toHome: true, holder: index, term: effect.message.term, message: Object.freeze(effect.message) });
      case "answer-read": {
        const relayed = this.relays.get(effect.waiter);
        if (relayed !== undefined) {
          this.relays.delete(effect.waiter);
          return this.tellProgram(relayed, effect.record);
        }
        if (this.abandoned.has(effect.waiter)) throw new Error(`read ${effect.waiter} is answered, and nobody waits`);
        const floor = this.reads.get(effect.waiter);
        if (floor === undefined) throw new Error(`read ${effect.waiter} is answered twice`);
        this.reads.delete(effect.waiter);
        // There is one line, so that its changes are what the counter counts: also deletions, which leave no version.
        const { asOf, version } = effect.record;
        if (asOf < floor) throw new Error(`stale: change ${asOf} was read after ${floor} had been told`);
        this.told = Math.max(this.told, asOf);
        this.answers?.set(effect.waiter, version);
        return;
      }
      case "answer-write":
        if (this.abandoned.has(effect.waiter)) return;
        if (!this.writes.delete(effect.waiter)) throw new Error(`write ${effect.waiter} is answered twice`);
        this.told = Math.max(this.told, effect.outcome.version ?? 0);
        this.answers?.set(effect.waiter, effect.outcome.version);
        return;
      case "kept":
      case "dropped":
    }
  }

  private ofHome(place: number, effect: HomeEffect): void {
    // What a quorum is asked: only the leader of that moment is ever answered.
    const leads = place === this.leader;
    switch (effect.type) {
      case "send":
        return this.send({ toHome: false, holder: indexOf(effect.to), term: effect.message.term, message: Object.freeze(effect.message) });
      case "read":
        return this.errand({ type: "read", home: place, number: 0, what: null, line: effect.line }, this.slow);
      case "read-confirmed":
        if (leads) this.errand({ type: "read-confirmed", home: place, number: effect.read, what: null, line: effect.line }, this.slow);
        return;
      case "confirm":
        if (leads) this.errand({ type: "confirm", home: place, number: effect.round, what: null, line }, this.slow);
        return;
      case "propose":
        if (leads) this.errand({ type: "propose", home: place, number: effect.proposal, what: Object.freeze(effect.what), line }, true);
        return;
      case "answer":
        if (!this.writes.delete(effect.id)) throw new Error(`write ${effect.id} is answered twice`);
        this.told = Math.max(this.told, effect.outcome?.version ?? 0);
        this.answers?.set(effect.id, effect.outcome?.version ?? null);
        return;
      case "abandoned":
        // Who asked there asks the next one; the model lets it be.
        this.writes.delete(effect.id);
        return;
      case "opened":
      case "closed":
        this.events = [...this.events, effect.type];
    }
  }

  private errand(errand: Errand, later: boolean): void {
    this.errands = [...this.errands, Object.freeze(errand)];
    if (!later) this.run(this.errands.length - 1);
  }

  private send(letter: Letter): void {
    this.letters = [...this.letters, Object.freeze(letter)];
  }
}

export function nameOf(index: number): string {
  return "abcdefgh".charAt(index);
}

export function indexOf(name: string): number {
  return "abcdefgh".indexOf(name);
}
