import {
  type HolderEffect,
  type HolderEvent,
  type HolderState,
  isReadable,
  type Line,
  type Moment,
  newHolder,
  type ReadMode,
  type ReadSource,
  stepHolder,
} from "@trivet/core/holder";
import type { CachedRecord, HolderMessage, HomeMessage, LineName, WriteOutcome } from "@trivet/wire";

export interface NearHolderOwner {
  /** The clocks of this process, read now. */
  now(): Moment;
  /** To the shard's home, or lost. */
  send(message: HolderMessage): void;
  kept(holder: NearHolder, line: Line): void;
  dropped(line: LineName): void;
}

/** Null = not in time. */
export type ReadAnswer = { readonly record: CachedRecord; readonly source: ReadSource } | null;

interface Waiter {
  readonly line: LineName;
  /** By the steady clock. */
  readonly deadline: number;
  /** It wants a copy of this line, but began without a lease: none comes with its answer. Null = it does not. */
  readonly cold: LineName | null;
  readonly read: ((answer: ReadAnswer) => void) | null;
  readonly written: ((outcome: WriteOutcome | null) => void) | null;
}

/** Lines that are fetched once more, for their copies, when there is a lease. */
const wantedCopies = 256;
/**
 * A home answers what is meant for an earlier one with its own term, and so does a holder that has just come learn who it is: no election ends
 * before term 1.
 */
const firstTerm = 1;

/** This process's side of one shard's coherence: its lease, its copies, and who waits here. The rules are those of a node's holder. */
export class NearHolder {
  readonly state: HolderState;
  private readonly owner: NearHolderOwner;
  private readonly waiters = new Map<number, Waiter>();
  private readonly wanted = new Set<LineName>();
  private last = 0;

  constructor(program: string, owner: NearHolderOwner) {
    // The name is of this connection alone, so it has no former life.
    this.state = newHolder(program, 1, undefined, undefined, true);
    this.owner = owner;
    this.step({ type: "home", term: firstTerm, now: owner.now() });
  }

  get waiting(): number {
    return this.waiters.size;
  }

  read(line: LineName, mode: ReadMode, deadline: number, read: (answer: ReadAnswer) => void): void {
    const cold = mode.type === "write-through" && this.state.leasedAt === null ? line : null;
    const waiter = this.wait({ line, deadline, cold, read, written: null });
    this.step({ type: "read", line, mode, waiter, now: this.owner.now() });
  }

  /** `command` is a frame of a caller: however often it comes, it is executed once (rule X1). */
  write(line: LineName, command: Uint8Array, keep: boolean, deadline: number, written: (outcome: WriteOutcome | null) => void): void {
    const cold = keep && this.state.leasedAt === null ? line : null;
    const waiter = this.wait({ line, deadline, cold, read: null, written });
    this.step({ type: "write", line, command, keep, waiter, now: this.owner.now() });
  }

  receive(message: HomeMessage): void {
    this.step({ type: "message", message, now: this.owner.now() });
  }

  evict(line: LineName): void {
    this.step({ type: "evict", line, now: this.owner.now() });
  }

  /** `onTime`: this process was not stalled; else answers may be waiting to be read, and come first. */
  tick(now: Moment, onTime: boolean): void {
    if (this.state.lines.size > 0) this.step({ type: "tick", now });
    if (!onTime) return;
    for (const [number, { deadline }] of this.waiters) if (deadline <= now.steady) this.giveUp(number, now);
  }

  /** Nobody shall wait for this holder's lease. */
  leave(): void {
    this.step({ type: "leave", now: this.owner.now() });
    for (const number of this.waiters.keys()) this.giveUp(number, this.owner.now());
  }

  private wait(waiter: Waiter): number {
    this.waiters.set(++this.last, waiter);
    return this.last;
  }

  private giveUp(number: number, now: Moment): void {
    const waiter = this.waiters.get(number);
    if (waiter === undefined) return;
    this.waiters.delete(number);
    this.step({ type: "abandon", line: waiter.line, waiter: number, now });
    waiter.read?.(null);
    waiter.written?.(null);
  }

  private take(number: number): Waiter | undefined {
    const waiter = this.waiters.get(number);
    if (waiter === undefined) return undefined;
    this.waiters.delete(number);
    if (waiter.cold !== null && this.wanted.size < wantedCopies) this.wanted.add(waiter.cold);
    return waiter;
  }

  private step(event: HolderEvent): void {
    for (const effect of stepHolder(this.state, event)) this.carryOut(effect, event.now);
    if (this.wanted.size > 0 && this.state.leasedAt !== null) this.fetchWanted();
  }

  private carryOut(effect: HolderEffect, now: Moment): void {
    switch (effect.type) {
      case "send":
        return this.owner.send(effect.message);
      case "answer-read":
        return this.take(effect.waiter)?.read?.({ record: effect.record, source: effect.source });
      case "answer-write": {
        const waiter = this.take(effect.waiter);
        // A write asks for no lease.
        if (waiter?.cold != null && this.mayAsk(now)) this.readFor(waiter.cold);
        return waiter?.written?.(effect.outcome);
      }
      case "kept": {
        const line = this.state.lines.get(effect.line);
        if (line !== undefined) this.owner.kept(this, line);
        return;
      }
      case "dropped":
        return this.owner.dropped(effect.line);
    }
  }

  /** Under a lease each is fetched once, when nothing of it is on its way any more. */
  private fetchWanted(): void {
    for (const line of this.wanted) {
      const state = this.state.lines.get(line)?.state ?? "I";
      if (state !== "I" && !isReadable(state)) continue;
      this.wanted.delete(line);
      if (state === "I") this.readFor(line);
    }
  }

  /** There is no lease, none is asked for, and nothing keeps it from asking: one that is barred would read for a copy that it may not keep. */
  private mayAsk({ steady }: Moment): boolean {
    const { asked, askAgainAt, leasedAt } = this.state;
    return leasedAt === null && asked.length === 0 && askAgainAt <= steady;
  }

  /** For its copy, and for the lease: nobody waits. */
  private readFor(line: LineName): void {
    if ((this.state.lines.get(line)?.state ?? "I") !== "I") return;
    this.step({ type: "read", line, mode: { type: "write-through" }, waiter: 0, now: this.owner.now() });
  }
}
