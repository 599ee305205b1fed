import { type ApplySink, checkSystem, restoreSystem, type SystemLimits, SystemState, type TimerSink } from "@trivet/core";
import { type Command, CommandFrameBuilder, encodeEntryPayload, type ExpiryKind, type Result } from "@trivet/wire";

import type { RefLimits } from "../reference/lock-reference.ts";
import { LogReference, type RealAnswer } from "../reference/log-reference.ts";
import { expect } from "./scenario.ts";

/** What a frame asks; defaults make the plain case short. */
export interface Ask {
  readonly caller: string;
  readonly commands: readonly Command[];
  readonly firstSequence: number;
  readonly notAfter?: number;
  readonly ackedUpTo?: number;
  readonly fingerprint?: string;
}

class Timers implements TimerSink {
  readonly running = new Map<string, number>();
  armed(kind: ExpiryKind, id: number, durationMs: number): void {
    this.running.set(`${kind} ${id}`, durationMs);
  }
  cleared(kind: ExpiryKind, id: number): void {
    this.running.delete(`${kind} ${id}`);
  }
}

/** Group 0's state machine beside the reference: every entry is applied to both, and everything visible is compared. */
export class SystemBench implements ApplySink {
  readonly state: SystemState;
  readonly reference: LogReference;
  now = 1_000_000;
  index = 0;
  /** Replicas restored from snapshots on the way: they must go on as one with the first. */
  readonly replicas: SystemState[] = [];
  private timers = new Timers();
  private answers: RealAnswer[] = [];

  constructor(limits: Partial<SystemLimits> = {}, refLimits?: RefLimits) {
    this.state = new SystemState(limits);
    this.reference = new LogReference(refLimits);
    this.state.setTimerSink(this.timers);
  }

  answer(caller: string, sequence: number, result: Result): void {
    this.answers.push({ caller, sequence, result });
  }

  changed(): void {
    // Events are judged in whole runs, against the holds they speak of.
  }

  frame({ caller, commands, firstSequence, notAfter = this.now + 60_000, ackedUpTo = 0, fingerprint = "" }: Ask): Uint8Array {
    const builder = new CommandFrameBuilder();
    builder.begin(caller, fingerprint, notAfter, ackedUpTo, firstSequence);
    for (const command of commands) builder.add(command);
    return builder.finish();
  }

  /** Applies one entry; returns the answers it made. */
  entry(frames: readonly Uint8Array[], groupTime: number = this.now): readonly RealAnswer[] {
    this.index += 1;
    const payload = encodeEntryPayload(groupTime, frames);
    const before = this.state.groupTime;
    this.answers = [];
    this.state.applyEntry(payload, this.index, this);
    const mine = this.answers;
    expect(this.state.groupTime >= before, "group-time-monotone", () => `${before} then ${this.state.groupTime}`);
    const wrong = this.reference.apply(payload, mine);
    expect(wrong === null, "witness-replay", () => `entry ${this.index}: ${wrong ?? ""}`);
    checkSystem(this.state);
    for (const [i, replica] of this.replicas.entries()) {
      this.answers = [];
      replica.applyEntry(payload, this.index, this);
      const theirs = JSON.stringify(this.answers);
      expect(
        theirs === JSON.stringify(mine),
        "equal-answers",
        () => `entry ${this.index}: replica ${i} answers ${theirs}, the first ${JSON.stringify(mine)}`,
      );
      expect(replica.stateHash() === this.state.stateHash(), "equal-state", () => `entry ${this.index}: replica ${i} differs`);
    }
    this.compareView();
    this.compareTimers();
    return mine;
  }

  ask(ask: Ask): readonly RealAnswer[] {
    return this.entry([this.frame(ask)]);
  }

  /** A leader's own proposal. */
  own(command: Command): void {
    this.entry([this.frame({ caller: "", commands: [command], firstSequence: 1 })]);
  }

  /** A new leader: every timer starts again. */
  takeOver(): void {
    this.timers = new Timers();
    this.state.setTimerSink(this.timers);
    this.compareTimers();
  }

  /** Cuts a snapshot, with `between` run after each chunk, and sets up a replica from it. */
  snapshot(chunkBytes: number, between: () => void): void {
    const hash = this.state.stateHash();
    const at = this.index;
    const cursor = this.state.beginSnapshot();
    const chunks: Uint8Array[] = [];
    for (let chunk = cursor.next(chunkBytes); chunk !== null; chunk = cursor.next(chunkBytes)) {
      chunks.push(chunk.slice());
      between();
    }
    const replica = restoreSystem(chunks);
    expect(replica.stateHash() === hash, "equal-state", () => `the snapshot of ${at} restores to another state`);
    expect(replica.appliedIndex === at, "equal-state", () => `the snapshot of ${at} says ${replica.appliedIndex}`);
    checkSystem(replica);
    if (this.index !== at) return;
    this.replicas.push(replica);
    if (this.replicas.length > 2) this.replicas.shift();
  }

  private compareView(): void {
    const { table } = this.reference.locks;
    const used = new Set([...table.holds, ...table.delays, ...table.waits.flatMap((wait) => wait.tickets)].map((each) => each.name));
    expect(this.state.lockCount() === used.size, "names-in-use", () => `${this.state.lockCount()} names kept, ${used.size} in use`);
    for (const name of used) {
      const view = this.state.lock(name);
      const real = view.holders.map(({ owner, mode, fence, depth, ttlMs }) => [owner, mode, fence, depth, ttlMs].join(" ")).join("; ");
      const expected = table
        .holdsOf(name)
        .map(({ owner, mode, fence, depth, ttlMs }) => [owner, mode, fence, depth, ttlMs].join(" "))
        .join("; ");
      expect(real === expected, "holders", () => `${name}: ${real}, the reference has ${expected}`);
      const line = view.waiters.map(({ owner, mode }) => `${owner} ${mode}`).join("; ");
      const foretold = table
        .line(name)
        .map(({ wait, ticket }) => `${wait.owner} ${ticket.mode}`)
        .join("; ");
      expect(line === foretold, "line", () => `${name}: ${line}, the reference has ${foretold}`);
    }
  }

  private compareTimers(): void {
    const { table, sessions } = this.reference.locks;
    const expected = [
      ...[...sessions].map(([id, { ttlMs }]) => `session ${id} ${ttlMs}`),
      ...table.holds.filter((hold) => hold.session === 0).map(({ fence, ttlMs }) => `grant ${fence} ${ttlMs}`),
      ...table.waits.map(({ id, waitMs }) => `wait ${id} ${waitMs}`),
      ...table.delays.map(({ id, ms }) => `lock-delay ${id} ${ms}`),
    ].sort();
    const real = [...this.timers.running].map(([key, ms]) => `${key} ${ms}`).sort();
    expect(real.join("; ") === expected.join("; "), "timers", () => `running: ${real.join("; ")}; there should be: ${expected.join("; ")}`);
  }
}
