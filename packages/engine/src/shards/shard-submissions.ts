import type { GroupId } from "@trivet/core";
import {
  ByteWriter,
  CallerLanes,
  encodeResult,
  encodeSingleCommandFrame,
  formatRequestId,
  type Result,
  type ShardCommand,
} from "@trivet/wire";
import type { CallerRoute, Submission, SubmitOptions, Unavailable } from "../node/node-api.ts";
import { noteFrame, nothingHappened, notAfterOf, type SubmissionsOwner } from "../calls/submission-outcomes.ts";

/** An answer as apply encoded it, or why there is none. */
export type ShardOutcome =
  | { readonly type: "answered"; readonly bytes: Uint8Array; readonly requestId: string }
  | Unavailable
  | { readonly type: "unknown"; readonly requestId: string };

interface Context {
  readonly requestId: { text: string };
  readonly done: (outcome: ShardOutcome) => void;
}
/** All calls with one idempotency key: one command, one answer (rule X2). */
interface Keyed {
  readonly caller: string;
  readonly fingerprint: string;
  readonly route: CallerRoute<Uint8Array>;
  waiting: { readonly deadline: number; readonly requestId: string; readonly done: (outcome: ShardOutcome) => void }[];
}

const keyedSequence = 1;
/** The same key came with another request before. */
const otherBody: Uint8Array = encodedResult({ type: "refused", reason: "other-body" });
const none: Submission = { requestId: "", abandon: () => undefined };

/**
 * Commands that this node gives to a shard for its callers. Nothing waits in a shard's log, so each is answered once by the first of: its answer
 * out of apply, a refusal of its frame, its deadline.
 */
export class ShardSubmissions {
  private readonly owner: SubmissionsOwner<Uint8Array>;
  private readonly group: GroupId;
  private readonly lanes: CallerLanes<Context>;
  private readonly routed = new Map<string, CallerRoute<Uint8Array>>();
  private readonly keyed = new Map<string, Keyed>();
  private ended: string[] = [];

  constructor(group: GroupId, owner: SubmissionsOwner<Uint8Array>) {
    this.group = group;
    this.owner = owner;
    this.lanes = new CallerLanes({
      newCaller: () => owner.newCaller(),
      exactDeadlines: true,
      laneEnded: (caller) => void this.ended.push(caller),
    });
  }

  submit(command: ShardCommand, options: SubmitOptions, done: (outcome: ShardOutcome) => void): Submission {
    if (options.idempotency !== undefined) return this.submitKeyed(command, options, options.idempotency, done);
    const notAfter = notAfterOf(this.owner.groupTime(), options);
    const requestId = { text: "" };
    const sequence = this.lanes.submit(command, notAfter, this.owner.now() + options.timeoutMs, { requestId, done });
    if (sequence === 0) {
      const detail = "too many commands of this node are unanswered";
      this.owner.later(() => done({ type: "unavailable", code: "overloaded", retryAfterMs: 100, detail }));
      return none;
    }
    requestId.text = formatRequestId({ group: this.group, caller: this.lanes.caller, sequence, notAfter });
    noteFrame(this.owner.traces, this.lanes.frameOfSubmitted(sequence));
    this.owner.markDirty();
    return { requestId: requestId.text, abandon: () => undefined };
  }

  get hasPending(): boolean {
    return this.lanes.hasPending;
  }

  /** Ends the turn: frames of the commands submitted since the last call go out. */
  collect(): void {
    if (!this.lanes.hasPending) return;
    this.lanes.collect((frame) => {
      const { caller, bytes, firstSequence, count } = frame;
      if (!this.routed.has(caller)) {
        const route = this.laneRoute(caller);
        this.routed.set(caller, route);
        this.owner.setRoute(caller, route);
      }
      if (this.owner.traces.isOn) this.owner.traces.pass(frame, bytes);
      const refused = this.owner.submitFrame(bytes);
      if (refused !== null) this.refuse(caller, firstSequence, count, refused);
    });
  }

  get isOpen(): boolean {
    return this.lanes.openCount + this.keyed.size > 0;
  }

  tick(now: number): void {
    if (!this.isOpen && this.ended.length === 0) return;
    const fate = new Map<object, boolean>();
    for (const { context, frame } of this.lanes.giveUpDue(now)) {
      // One decision per frame: it is taken back as a whole, when all its commands are given up, or may still be executed.
      let withdrawn = fate.get(frame);
      if (withdrawn === undefined) {
        withdrawn = frame.open === 0 && (frame.bytes.length === 0 || this.owner.withdraw(frame.caller, frame.firstSequence));
        fate.set(frame, withdrawn);
      }
      context.done(withdrawn ? nothingHappened : { type: "unknown", requestId: context.requestId.text });
    }
    for (const keyed of this.keyed.values()) this.endDue(keyed, now);
    this.endRoutes();
  }

  stop(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  private laneRoute(caller: string): CallerRoute<Uint8Array> {
    return {
      answer: (sequence, bytes) => {
        const context = this.lanes.answer(caller, sequence);
        context?.done({ type: "answered", bytes, requestId: context.requestId.text });
      },
      flush: () => undefined,
      refused: (first, count, reason) => this.refuse(caller, first, count, reason),
    };
  }

  /** Nothing of the frame reached a log, so its sequences count as answered. */
  private refuse(caller: string, first: number, count: number, reason: Unavailable): void {
    for (let sequence = first; sequence < first + count; sequence += 1) this.lanes.answer(caller, sequence)?.done(reason);
  }

  /** A lane that is over has nobody to hear an answer. */
  private endRoutes(): void {
    for (const caller of this.ended) {
      const route = this.routed.get(caller);
      if (route !== undefined) this.owner.endRoute(caller, route);
      this.routed.delete(caller);
    }
    this.ended = [];
  }

  private submitKeyed(
    command: ShardCommand,
    options: SubmitOptions,
    { key: caller, fingerprint }: NonNullable<SubmitOptions["idempotency"]>,
    done: (outcome: ShardOutcome) => void,
  ): Submission {
    const notAfter = notAfterOf(this.owner.groupTime(), options);
    const requestId = formatRequestId({ group: this.group, caller, sequence: keyedSequence, notAfter });
    const keyed = this.keyed.get(caller) ?? this.openKeyed(caller, fingerprint);
    if (keyed.fingerprint !== fingerprint) {
      this.owner.later(() => done({ type: "answered", bytes: otherBody, requestId }));
      return none;
    }
    const one = { deadline: this.owner.now() + options.timeoutMs, requestId, done };
    keyed.waiting.push(one);
    const refused = this.owner.submitFrame(encodeSingleCommandFrame(caller, fingerprint, notAfter, command));
    if (refused !== null) {
      this.owner.later(() =>
        this.endKeyed(
          keyed,
          (other) => other === one,
          () => refused,
        ),
      );
    }
    this.owner.markDirty();
    return { requestId, abandon: () => undefined };
  }

  private openKeyed(caller: string, fingerprint: string): Keyed {
    const keyed: Keyed = {
      caller,
      fingerprint,
      waiting: [],
      route: {
        answer: (_sequence, bytes) =>
          this.endKeyed(
            keyed,
            () => true,
            ({ requestId }) => ({ type: "answered", bytes, requestId }),
          ),
        flush: () => undefined,
        refused: (_first, _count, reason) => {
          // An earlier copy may be in a log; then only its answer, or the deadline, ends the calls.
          if (this.owner.hasCopies(caller, keyedSequence)) return;
          this.endKeyed(
            keyed,
            () => true,
            () => reason,
          );
        },
      },
    };
    this.keyed.set(caller, keyed);
    this.owner.setRoute(caller, keyed.route);
    return keyed;
  }

  private endDue(keyed: Keyed, now: number): void {
    if (keyed.waiting.every(({ deadline }) => deadline > now)) return;
    const isDeserted = keyed.waiting.every(({ deadline }) => deadline <= now);
    const withdrawn = isDeserted && this.owner.withdraw(keyed.caller, keyedSequence);
    this.endKeyed(
      keyed,
      ({ deadline }) => deadline <= now,
      ({ requestId }) => (withdrawn ? nothingHappened : { type: "unknown", requestId }),
    );
  }

  private endKeyed(
    keyed: Keyed,
    ends: (one: Keyed["waiting"][number]) => boolean,
    outcome: (one: Keyed["waiting"][number]) => ShardOutcome,
  ): void {
    const ending = keyed.waiting.filter(ends);
    keyed.waiting = keyed.waiting.filter((one) => !ending.includes(one));
    if (keyed.waiting.length === 0 && this.keyed.get(keyed.caller) === keyed) {
      this.keyed.delete(keyed.caller);
      this.owner.endRoute(keyed.caller, keyed.route);
    }
    for (const one of ending) one.done(outcome(one));
  }
}

function encodedResult(result: Result): Uint8Array {
  const writer = new ByteWriter();
  encodeResult(writer, result);
  return writer.finish();
}
