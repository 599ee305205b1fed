import {
  type HolderEffect,
  type HolderEvent,
  type HolderState,
  isReadable,
  type LineState,
  type Moment,
  newHolder,
  type ReadMode,
  type ReadSource,
  stepHolder,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { CachedRecord, HolderMessage, HomeMessage, LineName, WriteOutcome } from "@trivet/wire";
import { DeadlineHeap, type Timed } from "../base/deadline-heap.ts";
import type { Traces } from "../base/traces.ts";
import type { Copied, Copies } from "./copies.ts";
import { asSpan } from "./holder-spans.ts";
import { wantedCopies } from "./limits.ts";
import type { Transitions } from "./transitions.ts";

export interface HolderHostOwner {
  readonly group: number;
  readonly traces: Traces;
  readonly copies: Copies;
  readonly transitions: Transitions;
  now(): Moment;
  /** To whoever leads the shard; lost when nobody is known to. */
  send(message: HolderMessage): void;
}

export type ReadAnswer = { readonly record: CachedRecord; readonly source: ReadSource } | null;

interface Waiter extends Timed {
  readonly number: number;
  readonly line: LineName;
  /** It wants a copy of this line, but began without a lease: none comes with its answer. Null = it does not. */
  readonly cold: LineName | null;
  /** Null = not in time. */
  readonly read: ((answer: ReadAnswer) => void) | null;
  readonly written: ((outcome: WriteOutcome | null) => void) | null;
}

/** This node's side of one shard's coherence: its lease, its copies, and who waits here. */
export class HolderHost {
  readonly state: HolderState;
  /** Withdrawals heard, and lives of this holder that have ended. */
  withdrawals = 0;
  lapses = 0;
  private readonly owner: HolderHostOwner;
  private readonly waiters = new Map<number, Waiter>();
  private readonly deadlines = new DeadlineHeap<Waiter>();
  private last = 0;
  /** Lines to be fetched again, for their copies, once there is a lease: else whoever reads now and then would never find one. */
  private readonly wanted = new Set<LineName>();

  constructor(id: string, incarnation: number, owner: HolderHostOwner) {
    this.state = newHolder(id, incarnation);
    this.owner = owner;
  }

  get openWrites(): number {
    let open = 0;
    for (const { written } of this.waiters.values()) if (written !== null) open++;
    return open;
  }

  stateOf(line: LineName): LineState {
    return this.state.lines.get(line)?.state ?? "I";
  }

  /** `deadline` by the steady clock. */
  read(line: LineName, mode: ReadMode, deadline: number, read: (answer: ReadAnswer) => void): void {
    const { group, traces } = this.owner;
    if (!traces.isOn) this.ask(line, mode, deadline, read);
    else asSpan(traces, "holder.fetch", group, read, (told) => this.ask(line, mode, deadline, told));
  }

  private ask(line: LineName, mode: ReadMode, deadline: number, read: (answer: ReadAnswer) => void): void {
    const cold = mode.type === "write-through" && this.state.leasedAt === null ? line : null;
    const waiter = this.wait(deadline, { line, read, written: null, cold });
    this.step({ type: "read", line, mode, waiter, now: this.owner.now() }, line);
  }

  /** `command` is a frame of a caller: however often it comes, it is executed once (rule X1). */
  write(line: LineName, command: Uint8Array, keep: boolean, deadline: number, written: (outcome: WriteOutcome | null) => void): void {
    const { group, traces } = this.owner;
    if (!traces.isOn) this.askWrite(line, command, keep, deadline, written);
    else asSpan(traces, "holder.write", group, written, (told) => this.askWrite(line, command, keep, deadline, told));
  }

  private askWrite(
    line: LineName,
    command: Uint8Array,
    keep: boolean,
    deadline: number,
    written: (outcome: WriteOutcome | null) => void,
  ): void {
    const cold = keep && this.state.leasedAt === null ? line : null;
    const waiter = this.wait(deadline, { line, read: null, written, cold });
    this.step({ type: "write", line, command, keep, waiter, now: this.owner.now() }, line);
  }

  /** From the shard's home, or from who was it. */
  receive(message: HomeMessage): void {
    const { type } = message;
    if (type === "inv" || type === "share") this.withdrawals++;
    const line = "line" in message ? message.line : type === "inv" && message.scope.type === "line" ? message.scope.line : null;
    this.step({ type: "message", message, now: this.owner.now() }, line);
  }

  /** Somebody leads the shard. */
  hearHome(term: number): void {
    if (term > this.state.term) this.step({ type: "home", term, now: this.owner.now() }, null);
  }

  evict({ line }: Copied): void {
    this.step({ type: "evict", line: line.name, now: this.owner.now() }, line.name);
  }

  tick(now: Moment): void {
    if (this.state.lines.size + this.state.pending.size > 0) this.step({ type: "tick", now }, null);
    for (let due = this.deadlines.takeDue(now.steady); due !== null; due = this.deadlines.takeDue(now.steady)) {
      if (!mutant("cache-late-calls-kept")) this.step({ type: "abandon", line: due.line, waiter: due.number, now }, due.line);
      this.give(due);
    }
  }

  /** When somebody has waited long enough, or the lease is to be prolonged; at once while something is on its way that may have to be sent again. */
  get tickAt(): number {
    const { leasedAt, lines, pending, timing } = this.state;
    if (pending.size > 0) return Number.NEGATIVE_INFINITY;
    const holds = lines.size > 0 && !mutant("cache-rest-without-renewal");
    const renewAt = holds && leasedAt !== null ? leasedAt.steady + timing.renewEveryMs : Number.POSITIVE_INFINITY;
    return Math.min(renewAt, this.deadlines.nextAt ?? Number.POSITIVE_INFINITY);
  }

  /** Nobody shall wait for this holder's lease. */
  leave(): void {
    this.step({ type: "leave", now: this.owner.now() }, null);
    this.lapses--;
  }

  /** Whoever waits is told that no answer came. */
  stop(): void {
    for (const waiter of this.waiters.values()) this.give(waiter);
  }

  private wait(deadline: number, told: Pick<Waiter, "cold" | "line" | "read" | "written">): number {
    const waiter: Waiter = { number: ++this.last, ...told, dueAt: 0, place: -1 };
    this.waiters.set(waiter.number, waiter);
    this.deadlines.push(waiter, deadline);
    return waiter.number;
  }

  private give(waiter: Waiter): void {
    this.waiters.delete(waiter.number);
    this.deadlines.remove(waiter);
    waiter.read?.(null);
    waiter.written?.(null);
  }

  private take(number: number): Waiter | undefined {
    const waiter = this.waiters.get(number);
    if (waiter === undefined) return undefined;
    this.waiters.delete(number);
    this.deadlines.remove(waiter);
    if (waiter.cold !== null && this.wanted.size < wantedCopies) this.wanted.add(waiter.cold);
    return waiter;
  }

  /** Under a lease each is fetched once, when nothing of it is on its way any more. */
  private fetchWanted(): void {
    if (this.state.leasedAt === null) return;
    for (const line of this.wanted) {
      const state = this.stateOf(line);
      if (state !== "I" && !isReadable(state)) continue;
      this.wanted.delete(line);
      if (state === "I") this.readFor(line);
    }
  }

  /** There is no lease, none is asked for, and nothing keeps it from asking. */
  private mayAsk({ steady }: Moment): boolean {
    const { asked, askAgainAt, leasedAt } = this.state;
    return leasedAt === null && asked.length === 0 && askAgainAt <= steady;
  }

  /** For its copy, and for the lease: nobody waits. */
  private readFor(line: LineName): void {
    this.step({ type: "read", line, mode: { type: "write-through" }, waiter: 0, now: this.owner.now() }, line);
  }

  /** `line`: which one the event is about; of others a copy may only come to its end. */
  private step(event: HolderEvent, line: LineName | null): void {
    const { state } = this;
    const before = line === null ? "I" : this.stateOf(line);
    const { incarnation } = state;
    const effects = stepHolder(state, event);
    this.lapses += state.incarnation - incarnation;
    if (line !== null) this.owner.transitions.note(line, before, this.stateOf(line), event.now.wall);
    for (const effect of effects) this.carryOut(effect, event.now, line);
    if (line !== null) this.noteState(line);
    if (this.wanted.size > 0) this.fetchWanted();
  }

  private carryOut(effect: HolderEffect, now: Moment, line: LineName | null): void {
    const { copies, transitions } = this.owner;
    switch (effect.type) {
      case "send":
        return this.owner.send(effect.message);
      case "answer-read":
        return this.take(effect.waiter)?.read?.({ record: effect.record, source: effect.source });
      case "answer-write": {
        const waiter = this.take(effect.waiter);
        // A write asks for no lease.
        if (waiter?.cold != null && this.mayAsk(now) && this.stateOf(waiter.cold) === "I") this.readFor(waiter.cold);
        return waiter?.written?.(effect.outcome);
      }
      case "kept": {
        const kept = this.state.lines.get(effect.line);
        if (kept !== undefined) copies.kept(this.state, kept, now.steady);
        return;
      }
      case "dropped":
        if (effect.line !== line) transitions.note(effect.line, copies.stateOf(effect.line), this.stateOf(effect.line), now.wall);
        return copies.dropped(effect.line);
    }
  }

  private noteState(line: LineName): void {
    this.owner.copies.noteState(line, this.stateOf(line));
  }
}
