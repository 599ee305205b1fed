import { type Command, type ExpiryKind, type LockMode, type Result, CommandFrameBuilder, encodeEntryPayload } from "@trivet/wire";
import { type ApplySink, type SystemEvent, type SystemLimits, SystemState, type TimerSink } from "@trivet/core";
import { checkSystem } from "../../src/invariants/locks.ts";

/** Who asks, for tests: a session, an owner, or both. */
export interface Who {
  readonly session?: number;
  readonly owner?: string;
  readonly principal?: string;
}

/** Timers as a leader sees them: what is running, by kind and id. */
export class RunningTimers implements TimerSink {
  readonly running = new Map<string, number>();

  armed(kind: ExpiryKind, id: number, durationMs: number): void {
    this.running.set(`${kind} ${id}`, durationMs);
  }

  cleared(kind: ExpiryKind, id: number): void {
    if (!this.running.delete(`${kind} ${id}`)) throw new Error(`timer ${kind} ${id} was not running`);
  }

  list(): string[] {
    return [...this.running].map(([key, ms]) => `${key} ${ms}`).sort();
  }
}

/**
 * A state machine with everything it says written down, and its invariants checked after every command. Commands come from numbered
 * requests; the answer of a waiting one is found by its number.
 */
export class Bench implements ApplySink {
  readonly state: SystemState;
  readonly timers = new RunningTimers();
  readonly answers = new Map<string, Result>();
  readonly events: SystemEvent[] = [];
  checked = true;
  private index = 0;
  private sequence = 0;
  private acked = 0;
  now = 1_000_000;

  constructor(limits: Partial<SystemLimits> = {}, state: SystemState = new SystemState(limits)) {
    this.state = state;
    this.index = state.appliedIndex;
    state.setTimerSink(this.timers);
  }

  answer(caller: string, sequence: number, result: Result): void {
    const key = `${caller}/${sequence}`;
    if (this.answers.has(key)) throw new Error(`second answer to ${key}: ${JSON.stringify(result)}`);
    this.answers.set(key, result);
  }

  changed(event: SystemEvent): void {
    this.events.push(event);
  }

  /** Applies `command` as one entry of caller "c"; returns its sequence. */
  send(command: Command): number {
    const sequence = ++this.sequence;
    while (this.answers.has(`c/${this.acked + 1}`) && this.acked + 1 < sequence) this.acked++;
    this.entry(frameOf("c", sequence, [command], { notAfter: this.now + 60_000, ackedUpTo: this.acked }));
    return sequence;
  }

  /** The answer of request `sequence`, null while it waits. */
  answerOf(sequence: number): Result | null {
    return this.answers.get(`c/${sequence}`) ?? null;
  }

  /** Sends and wants the answer at once. */
  ask(command: Command): Result {
    const answer = this.answerOf(this.send(command));
    if (answer === null) throw new Error(`${JSON.stringify(command)} waits`);
    return answer;
  }

  /** Sends and wants it to wait. */
  wait(command: Command): number {
    const sequence = this.send(command);
    const answer = this.answerOf(sequence);
    if (answer !== null) throw new Error(`${JSON.stringify(command)} was answered ${JSON.stringify(answer)}`);
    return sequence;
  }

  /** A leader's own proposal. */
  propose(command: Command): void {
    this.entry(frameOf("", 1, [command], { notAfter: this.now + 60_000 }));
  }

  expire(kind: ExpiryKind, id: number): void {
    this.propose({ type: "expire", kind, id });
  }

  entry(...frames: Uint8Array[]): void {
    this.raw(encodeEntryPayload(this.now, frames));
  }

  raw(payload: Uint8Array): void {
    this.state.applyEntry(payload, ++this.index, this);
    if (this.checked) checkSystem(this.state);
  }

  open(lockDelayMs = 0, principal = "p"): number {
    const result = this.ask({ type: "open-session", ttlMs: 10_000, lockDelayMs, principal, label: "test" });
    if (result.type !== "session-opened") throw new Error(JSON.stringify(result));
    return result.session;
  }

  /** Grants at once and returns the fence. */
  take(name: string, mode: LockMode, who: Who, of = 0): number {
    const result = this.ask(acquire(name, mode, who, { of }));
    if (result.type !== "granted") throw new Error(JSON.stringify(result));
    return result.fence;
  }

  /** Owners of the present holders of a name. */
  holders(name: string): string[] {
    return this.state.lock(name).holders.map((hold) => hold.owner);
  }

  waiters(name: string): string[] {
    return this.state.lock(name).waiters.map((wait) => wait.owner);
  }
}

export function actor({ session = 0, owner = "", principal = "p" }: Who): { session: number; owner: string; principal: string } {
  return { session, owner, principal };
}

export interface AcquireOptions {
  readonly waitMs?: number;
  readonly of?: number;
  readonly ttlMs?: number;
  readonly reentrant?: boolean;
  readonly anonymous?: boolean;
}

export function acquire(name: string, mode: LockMode, who: Who, options: AcquireOptions = {}): Command {
  return acquireSet([{ name, mode, of: options.of ?? 0 }], who, options);
}

export function acquireSet(
  keys: readonly { readonly name: string; readonly mode: LockMode; readonly of?: number }[],
  who: Who,
  options: AcquireOptions = {},
): Command {
  const { waitMs = 0, ttlMs = 5_000, reentrant = false, anonymous = false } = options;
  return {
    type: "acquire",
    actor: actor(who),
    keys: keys.map(({ name, mode, of = 0 }) => ({ name, mode, of: mode === "permit" ? of : 0 })),
    ttlMs,
    waitMs,
    reentrant,
    anonymous,
  };
}

export function release(name: string, fence: number, who: Who, anonymous = false): Command {
  return { type: "release", actor: actor(who), name, fence, anonymous };
}

export function upgrade(name: string, fence: number, who: Who, mode: LockMode, waitMs = 0): Command {
  return { type: "upgrade", actor: actor(who), name, fence, mode, waitMs };
}

export function downgrade(name: string, fence: number, who: Who, mode: LockMode): Command {
  return { type: "downgrade", actor: actor(who), name, fence, mode };
}

export interface FrameOptions {
  readonly notAfter: number;
  readonly ackedUpTo?: number;
  readonly fingerprint?: string;
}

export function frameOf(caller: string, firstSequence: number, commands: readonly Command[], options: FrameOptions): Uint8Array {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, options.fingerprint ?? "", options.notAfter, options.ackedUpTo ?? 0, firstSequence);
  for (const command of commands) builder.add(command);
  return builder.finish();
}
