import { CallerLanes, type Command, formatRequestId, type Result } from "@trivet/wire";
import { invariant } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { KeyedSubmissions } from "./keyed-submissions.ts";
import type { CallerRoute, Outcome, Submission, SubmitOptions, Unavailable } from "../node/node-api.ts";
import { mayBeWaiting, noteFrame, nothingHappened, notAfterOf, outcomeOf, type SubmissionsOwner } from "./submission-outcomes.ts";

interface Context {
  readonly command: Command;
  readonly done: (outcome: Outcome) => void;
  readonly requestId: string;
  caller: string;
  sequence: number;
  /** The client went away while waiting: a grant that comes all the same is given back. */
  abandoned: boolean;
}

/**
 * Commands of plain HTTP calls: they have no stream of their own, so this node is their caller (rule X2). It gives them lanes, or with an
 * idempotency key a caller derived from it, waits for the answers out of apply, and ends each by exactly one outcome.
 */
export class Submissions {
  private readonly owner: SubmissionsOwner;
  private readonly lanes: CallerLanes<Context>;
  private readonly keyed: KeyedSubmissions;
  private readonly routed = new Map<string, CallerRoute>();
  /** Callers whose lanes are over; their routes go at the end of a tick, when nobody walks them. */
  private ended: string[] = [];

  constructor(owner: SubmissionsOwner) {
    this.owner = owner;
    this.keyed = new KeyedSubmissions(owner);
    this.lanes = new CallerLanes<Context>({
      newCaller: () => owner.newCaller(),
      maxLanes: 1024,
      exactDeadlines: true,
      laneEnded: (caller) => this.ended.push(caller),
    });
  }

  get open(): number {
    return this.lanes.openCount + this.keyed.size;
  }

  /** Lanes with a route on this node. */
  get routes(): number {
    return this.routed.size;
  }

  submit(command: Command, options: SubmitOptions, done: (outcome: Outcome) => void): Submission {
    return options.idempotency === undefined
      ? this.submitInLane(command, options, done)
      : this.keyed.submit(command, options, options.idempotency, done);
  }

  private submitInLane(command: Command, options: SubmitOptions, done: (outcome: Outcome) => void): Submission {
    const notAfter = notAfterOf(this.owner.groupTime(), options);
    const context: Context & { requestId: string } = { command, done, requestId: "", caller: "", sequence: 0, abandoned: false };
    const sequence = this.lanes.submit(command, notAfter, this.owner.now() + options.timeoutMs, context);
    if (sequence === 0) {
      const detail = "too many commands of this node are unanswered";
      this.owner.later(() => done({ type: "unavailable", code: "overloaded", retryAfterMs: 100, detail }));
      return { requestId: "", abandon: () => undefined };
    }
    context.caller = this.lanes.caller;
    context.sequence = sequence;
    context.requestId = formatRequestId({ group: 0, caller: context.caller, sequence, notAfter });
    noteFrame(this.owner.traces, this.lanes.frameOfSubmitted(sequence));
    this.owner.markDirty();
    return { requestId: context.requestId, abandon: () => this.abandon(context) };
  }

  /** Ends the turn: frames of the commands submitted since the last call go out. */
  collect(): void {
    if (!this.lanes.hasPending) return;
    this.lanes.collect((frame) => {
      if (!this.routed.has(frame.caller)) {
        const route = this.laneRoute(frame.caller);
        this.routed.set(frame.caller, route);
        this.owner.setRoute(frame.caller, route);
      }
      if (this.owner.traces.isOn) this.owner.traces.pass(frame, frame.bytes);
      const refused = this.owner.submitFrame(frame.bytes);
      if (refused !== null) this.refuse(frame.caller, frame.firstSequence, frame.count, refused);
    });
  }

  private laneRoute(caller: string): CallerRoute {
    return {
      answer: (sequence, result) => this.answered(caller, sequence, result),
      flush: () => undefined,
      refused: (first, count, reason) => this.refuse(caller, first, count, reason),
    };
  }

  private answered(caller: string, sequence: number, result: Result): void {
    const context = this.lanes.answer(caller, sequence);
    if (context === undefined) return;
    if (context.abandoned && result.type === "granted") this.giveBack(context, result);
    context.done(outcomeOf(result, context.requestId));
  }

  /** Nothing of the frame reached a log, so its sequences count as answered. */
  private refuse(caller: string, first: number, count: number, reason: Unavailable): void {
    for (let sequence = first; sequence < first + count; sequence += 1) this.lanes.answer(caller, sequence)?.done(reason);
  }

  tick(now: number): void {
    if (this.open + this.ended.length === 0) return;
    const fate = new Map<object, boolean>();
    for (const { context, frame } of this.lanes.giveUpDue(now)) {
      // One decision per frame: it is taken back as a whole, when all its commands are given up, or may still be executed.
      let withdrawn = fate.get(frame);
      if (withdrawn === undefined) {
        withdrawn = frame.open === 0 && (frame.bytes.length === 0 || this.owner.withdraw(frame.caller, frame.firstSequence));
        fate.set(frame, withdrawn);
      }
      if (withdrawn) {
        context.done(nothingHappened);
        continue;
      }
      if (mayBeWaiting(context.command)) this.cancelWait(context);
      context.done({ type: "unknown", requestId: context.requestId });
    }
    this.keyed.tick(now);
    this.endRoutes();
  }

  /** A lane that is over has nobody to hear an answer; without this a node would remember every lane there ever was. */
  private endRoutes(): void {
    if (this.ended.length === 0 || mutant("host-routes-kept")) return;
    for (const caller of this.ended) {
      const route = this.routed.get(caller);
      if (route !== undefined) this.owner.endRoute(caller, route);
      this.routed.delete(caller);
    }
    this.ended = [];
  }

  stop(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  /** Rule K4: the disconnect of a waiting client is a logged cancel. */
  private abandon(context: Context): void {
    if (context.abandoned || !this.lanes.isOpen(context.caller, context.sequence) || !mayBeWaiting(context.command)) return;
    context.abandoned = true;
    this.cancelWait(context);
  }

  private cancelWait(context: Context): void {
    const { command } = context;
    invariant(command.type === "acquire" || command.type === "upgrade", "cancel-wait", command.type);
    const name = command.type === "acquire" ? (command.keys[0]?.name ?? "") : command.name;
    this.background({ type: "cancel", actor: command.actor, name, caller: context.caller, sequence: context.sequence });
  }

  private giveBack(context: Context, granted: Extract<Result, { type: "granted" }>): void {
    const { command } = context;
    if (command.type !== "acquire" && command.type !== "upgrade") return;
    const name = command.type === "acquire" ? (command.keys[0]?.name ?? "") : command.name;
    const actor = { ...command.actor, owner: granted.owner };
    const locks = [{ name, fence: granted.fence }, ...granted.more.map(({ name, fence }) => ({ name, fence }))];
    this.background({ type: "release-set", actor, locks });
  }

  /** For housekeeping whose failure changes nothing: leases end what this could not. */
  private background(command: Command): void {
    this.submitInLane(command, { timeoutMs: 10_000 }, () => undefined);
  }
}
