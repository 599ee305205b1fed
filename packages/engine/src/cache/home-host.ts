import {
  barrierHolds,
  type GroupId,
  type HomeEffect,
  type HomeEvent,
  type HomeState,
  newHome,
  nothingRecorded,
  type Proposed,
  stepHome,
  writtenVersion,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import {
  checkFrame,
  decodeShardAnswer,
  type ExpiredValue,
  type HolderId,
  type HolderMessage,
  type HomeMessage,
  levelOfFrame,
  type LineName,
  type ShardCommand,
  type WriteOutcome,
} from "@trivet/wire";
import type { GroupHost } from "../groups/group-host.ts";
import type { Traces } from "../base/traces.ts";
import type { Clock } from "../ports/clock.ts";
import type { ReadValue, WorkerAnswer, WorkerReply, WorkerRequest } from "../shards/worker-protocol.ts";
import { DueValues } from "./due-values.ts";
import { HomeProposals } from "./home-proposals.ts";
import { HomeSpans } from "./home-spans.ts";
import { confirmTimeoutMs, earlyMessages } from "./limits.ts";
import { keyOfLine } from "./lines.ts";
import type { WriteBehind } from "./write-behind.ts";

export interface HomeHostOwner {
  readonly clock: Clock;
  readonly traces: Traces;
  /** A name that nobody has used. */
  newName(): string;
  /** Group time now (rule L3). */
  groupTime(): number;
  group(): GroupHost;
  ask(request: WorkerRequest, done: (reply: WorkerReply) => void): void;
  /** May a command of this feature level go into the log here (decision 0022)? */
  admits(level: number): boolean;
  /** Puts a frame into the log; false = it takes none now. */
  enqueue(frame: Uint8Array): boolean;
  send(to: HolderId, message: HomeMessage): void;
  markDirty(): void;
}

/** What became of something that was asked here; null = this home is none any more, ask the next one. */
export type HomeAnswer = { readonly outcome: WriteOutcome | null } | null;

interface Confirmation {
  readonly rounds: readonly number[];
  readonly reads: readonly { readonly read: number; readonly line: LineName }[];
}

/**
 * The home of one shard's lines on this node: runs the core's directory (rules M1–M8) on the shard's log, its store and its quorum rounds. It is one
 * while this node leads the shard and has applied an entry of its own term.
 */
export class HomeHost {
  readonly state: HomeState = newHome();
  readonly proposals: HomeProposals = new HomeProposals();
  /** Withdrawals sent since this node started. */
  withdrawals = 0;
  readonly behind: WriteBehind;
  private readonly id: GroupId;
  private readonly owner: HomeHostOwner;
  /** The term in which this is the home, or reads what a home begins with; 0 = it is none. */
  private term = 0;
  /** Since when it leads, until somebody needs a home. */
  private asleep: { readonly electedAt: number; readonly previousTerm: number } | null = null;
  /** Heard while it finds out what it begins with. */
  private early: { readonly from: HolderId; readonly message: HolderMessage }[] = [];
  private reads: LineName[] = [];
  private unconfirmed: { rounds: number[]; reads: { readonly read: number; readonly line: LineName }[] } = { rounds: [], reads: [] };
  private readonly calls = new Map<number, (answer: HomeAnswer) => void>();
  private lastCall = 0;
  /** Lines whose value is being ended. */
  private readonly expiring = new Set<LineName>();
  /** Reads that a quorum has confirmed, of values that have to end first: read again then. */
  private readonly ending = new Map<LineName, Confirmation["reads"]>();
  private readonly due: DueValues;
  private readonly spans: HomeSpans;
  private closing: (() => void) | null = null;

  constructor(id: GroupId, behind: WriteBehind, owner: HomeHostOwner) {
    this.id = id;
    this.behind = behind;
    this.owner = owner;
    this.spans = new HomeSpans(id, owner.traces);
    this.due = new DueValues(id, owner, (line, version) => this.expire(line, version));
  }

  get isHome(): boolean {
    return this.state.phase !== "idle";
  }

  /** This node leads, and has applied its own first entry; `previousTerm` is of the entry before that. */
  lead(term: number, previousTerm: number): void {
    this.depose();
    this.term = term;
    this.asleep = { electedAt: this.owner.clock.now(), previousTerm };
  }

  /** Somebody has cached something in this shard, or is about to: shards of queues alone do nothing for the cache. */
  wake(): void {
    const { asleep, term } = this;
    if (asleep === null || term === 0) return;
    this.asleep = null;
    this.proposals.begin(this.owner.newName());
    this.behind.begin();
    this.due.begin();
    this.owner.ask({ type: "cache-home", group: this.id }, (reply) => {
      if (this.term !== term || reply.type !== "cache-home") return;
      const barred = barrierHolds(reply.marker, asleep.previousTerm);
      const { electedAt } = asleep;
      this.step({ type: "elected", term, electedAt, registered: reply.holders, barred, now: this.owner.clock.now() });
      for (const { from, message } of this.early.splice(0)) this.receive(from, message);
    });
  }

  /** At once: what it granted ends by itself, and nothing is granted by who may not be the leader. */
  depose(): void {
    if (this.term === 0) return;
    this.term = 0;
    this.asleep = null;
    this.step({ type: "deposed", now: this.owner.clock.now() });
    this.reads = [];
    this.unconfirmed = { rounds: [], reads: [] };
    this.early = [];
    this.proposals.clear();
    this.behind.end();
    this.expiring.clear();
    this.ending.clear();
    this.due.end();
    this.closing = null;
    this.spans.deposed();
    for (const told of this.calls.values()) told(null);
    this.calls.clear();
  }

  receive(from: HolderId, message: HolderMessage): void {
    // Throws what only a faulty node sends.
    if (message.type === "write" && !mutant("cache-home-takes-own-frames") && !this.mayTake(message.command)) return;
    if (this.term !== 0) this.spans.heard(from, message, this.owner.clock.now());
    if (!this.isHome) {
      if (this.term !== 0 && this.early.length < earlyMessages) this.early.push({ from, message });
      return this.wake();
    }
    this.step({ type: "message", from, message, now: this.owner.clock.now() });
  }

  /** All copies of the line are given up. */
  dropCopies(line: LineName, told: (answer: HomeAnswer) => void): void {
    this.call(told, (id, now) => ({ type: "write", line, id, command: null, now }));
  }

  invalidate(namespace: number, tag: string | null, command: Uint8Array, told: (answer: HomeAnswer) => void): void {
    if (!this.mayTake(command)) return told(null);
    const spanned = this.spans.call("home.invalidate", command, told);
    return this.call(spanned, (id, now) => ({ type: "invalidate", namespace: String(namespace), tag, id, command, now }));
  }

  /**
   * Throws for a frame that no caller may send. False = its commands are newer than the cluster, as far as this node knows: it is as if it had been lost. Whoever sent
   * it has heard of their level already, or was told of it before, and sends it again.
   */
  private mayTake(frame: Uint8Array): boolean {
    return this.owner.admits(checkFrame(frame).level) || mutant("cache-home-level-not-asked");
  }

  /** What is too new for the cluster waits, and with it all that is behind it: a home proposes nothing out of its order (decision 0022). */
  private readonly enqueue = (frame: Uint8Array): boolean => {
    const mayGo = this.owner.admits(levelOfFrame(frame)) || mutant("cache-home-level-not-asked");
    return mayGo && this.owner.enqueue(frame);
  };

  /** Before leadership is handed over: `closed` when nobody has a copy any more, or this is the home no longer. */
  close(closed: () => void): void {
    const { phase } = this.state;
    if (phase === "idle" || phase === "handed") return closed();
    this.closing = closed;
    this.step({ type: "close", now: this.owner.clock.now() });
  }

  /** The hand-over came to nothing. */
  resume(): void {
    this.closing = null;
    if (this.isHome) this.step({ type: "resume", now: this.owner.clock.now() });
  }

  /** What apply told, the home's own and those of callers that it waits for. */
  answered(answers: readonly WorkerAnswer[]): void {
    if (this.term === 0) return;
    for (const answer of answers) {
      const proposed = this.proposals.answered(answer);
      if (proposed === null) continue;
      if (proposed.applied !== undefined) {
        proposed.applied();
        continue;
      }
      if (proposed.line !== null) this.ended(proposed.line);
      const { record = nothingRecorded } = answer;
      this.due.noted(record);
      const outcome = { version: writtenVersion(decodeShardAnswer(answer.bytes)), answer: answer.bytes };
      this.step({ type: "applied", proposal: proposed.proposal, outcome, record, now: this.owner.clock.now() });
    }
  }

  /** At the end of a turn: one request to the store and one quorum round for all that asked for one. */
  pump(): void {
    if (this.term === 0) return;
    this.proposals.offer(this.enqueue);
    if (this.reads.length > 0) this.readStore(this.reads.splice(0));
    const { reads, rounds } = this.unconfirmed;
    if (reads.length === 0 && rounds.length === 0) return;
    this.unconfirmed = { rounds: [], reads: [] };
    this.confirm({ rounds, reads });
  }

  tick(now: number): void {
    if (this.term === 0) return;
    this.spans.tick(now);
    this.proposals.offer(this.enqueue);
    this.behind.tick(now);
    if (!this.isHome) return;
    this.step({ type: "tick", now });
    if (this.state.phase === "open") this.due.tick(now);
  }

  /** When the next tick has something to do for which somebody may wait. That leases are over is noticed at a beat. */
  tickAt(now: number): number {
    if (this.term === 0) return Number.POSITIVE_INFINITY;
    const { blocked, busy, phase, scopes } = this.state;
    const isAsked = this.proposals.hasHeld || busy.size + blocked.size + scopes.size > 0;
    if (isAsked || (this.isHome && phase !== "open")) return Number.NEGATIVE_INFINITY;
    return Math.min(this.behind.tickAt, this.isHome ? this.due.tickAt(now) : Number.POSITIVE_INFINITY);
  }

  /** Of what concerns no copy. */
  proposeAside(command: ShardCommand, applied: () => void): void {
    this.proposals.proposeAside(command, applied);
    this.owner.markDirty();
  }

  // ── What the core asks for ──

  private step(event: HomeEvent): void {
    const effects = stepHome(this.state, event);
    for (const effect of effects) this.carryOut(effect);
    if (effects.length > 0) this.owner.markDirty();
  }

  private carryOut(effect: HomeEffect): void {
    switch (effect.type) {
      case "send":
        if (effect.message.type === "inv" || effect.message.type === "share") this.withdrawals++;
        this.spans.said(effect.to, effect.message);
        return this.owner.send(effect.to, effect.message);
      case "read":
        this.reads.push(effect.line);
        return;
      case "read-confirmed":
        this.unconfirmed.reads.push({ read: effect.read, line: effect.line });
        return;
      case "confirm":
        this.unconfirmed.rounds.push(effect.round);
        return;
      case "propose":
        return this.propose(effect.proposal, effect.what);
      case "answer":
      case "abandoned": {
        const told = this.calls.get(effect.id);
        this.calls.delete(effect.id);
        return told?.(effect.type === "answer" ? { outcome: effect.outcome } : null);
      }
      case "opened":
        return;
      case "closed": {
        const { closing } = this;
        this.closing = null;
        return closing?.();
      }
    }
  }

  private call(told: (answer: HomeAnswer) => void, event: (id: number, now: number) => HomeEvent): void {
    if (!this.isHome) return told(null);
    const id = ++this.lastCall;
    this.calls.set(id, told);
    this.step(event(id, this.owner.clock.now()));
  }

  private propose(proposal: number, what: Proposed): void {
    this.proposals.propose(proposal, what.type === "write" ? what.command : this.proposals.ownFrame(this.commandOf(what)));
  }

  private commandOf(what: Exclude<Proposed, { readonly type: "write" }>): ShardCommand {
    if (what.type === "register-holder" || what.type === "forget-holder") {
      return { type: what.type, holder: what.holder, incarnation: what.incarnation };
    }
    return { type: what.type, term: this.term };
  }

  /** A quorum round that begins after this call, then what it was asked for; again until it succeeds, or another leads. */
  private confirm(asked: Confirmation): void {
    const { term } = this;
    const confirmed = (ready: boolean): void => {
      if (this.term !== term) return;
      if (!ready) {
        this.unconfirmed.rounds.push(...asked.rounds);
        this.unconfirmed.reads.push(...asked.reads);
        return this.owner.markDirty();
      }
      for (const round of asked.rounds) this.step({ type: "confirmed", round, now: this.owner.clock.now() });
      if (asked.reads.length > 0) this.readConfirmed(asked.reads);
    };
    if (mutant("cache-home-unconfirmed")) confirmed(true);
    else this.owner.group().reads.barrier(confirmTimeoutMs, confirmed);
  }

  private readStore(lines: readonly LineName[]): void {
    this.values(lines, (line, { isDue, record }) => {
      const due = isDue && this.state.phase !== "recovering" ? this.endOf(line, record.version) : null;
      this.step({ type: "value", line, record, due, now: this.owner.clock.now() });
    });
  }

  private readConfirmed(reads: Confirmation["reads"]): void {
    const lines = reads.map(({ line }) => line);
    this.values(lines, (line, { isDue, record }, place) => {
      const read = reads[place];
      if (read === undefined) return;
      // Its time is over: it ends before it is told to anybody, and then it is read again. Before this home may write nobody has seen its end.
      if (isDue && this.state.phase === "open" && !mutant("cache-home-tells-due")) {
        this.ending.set(line, [...(this.ending.get(line) ?? []), read]);
        return this.expire(line, record.version);
      }
      this.step({ type: "confirmed-value", read: read.read, record, now: this.owner.clock.now() });
    });
  }

  private values(lines: readonly LineName[], each: (line: LineName, value: ReadValue, place: number) => void): void {
    const { term } = this;
    const request = { type: "cache-read", group: this.id, keys: lines.map(keyOfLine), now: this.owner.groupTime() } as const;
    this.owner.ask(request, (reply) => {
      if (this.term !== term || reply.type !== "cache-values") return;
      for (const [place, line] of lines.entries()) {
        const value = reply.values[place];
        if (value === undefined) continue;
        this.due.noted(value.record);
        each(line, value, place);
      }
    });
  }

  // ── Values whose time is over ──

  private expire(line: LineName, version: number): void {
    if (this.expiring.has(line)) return;
    this.expiring.add(line);
    const command = this.endOf(line, version);
    this.step({ type: "expire", line, command, now: this.owner.clock.now() });
  }

  private ended(line: LineName): void {
    this.expiring.delete(line);
    const reads = this.ending.get(line);
    if (reads === undefined) return;
    this.ending.delete(line);
    this.unconfirmed.reads.push(...reads);
    this.owner.markDirty();
  }

  /** The frame that ends the value. */
  private endOf(line: LineName, version: number): Uint8Array {
    const [namespace, key] = keyOfLine(line);
    const value: ExpiredValue = { namespace, key, version };
    return this.proposals.ownFrame({ type: "cache-expire", values: [value] }, line);
  }
}
