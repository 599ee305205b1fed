import {
  CallerLanes,
  CodecError,
  type Command,
  type LaneFrame,
  type OpenCommand,
  OrderedFrames,
  type Refused,
  type Result,
  type ShardCommand,
  type decodeShardAnswer,
  formatRequestId,
} from "@trivet/wire";
import { type Asker, Watched, fail, tell } from "./answered.ts";
import { type ClientErrorCode, OutcomeUnknownError, TrivetError, UnavailableError } from "./errors.ts";
import { FrameTraces } from "./tracing/frame-traces.ts";
import type { Traces } from "./tracing/tracing.ts";

type ShardAnswer = ReturnType<typeof decodeShardAnswer>;

/** The connection that a group's commands travel over. */
export interface GroupLink {
  readonly isClosed: boolean;
  /** A node is there that takes frames of this group. */
  readonly isConnected: boolean;
  /** Group time minus monotonic time. */
  readonly groupOffset: number;
  send(frame: Uint8Array, traces: Traces): void;
  newCaller(): string;
  describeFailures(): string;
}

/** How often deadlines are looked at while commands are open. */
const deadlineTickMs = 50;
/** Bounds of the pause before a refused frame is sent again. */
const shortestRetryMs = 10;
const longestRetryMs = 1_000;
/** How long until an ordered command of unknown fate is asked for again: what is behind it waits for its end. */
const unknownRetryMs = 1_000;

/**
 * Commands to one Raft group: one frame per turn, the same bytes again after a lost link or a refusal, each command's answer exactly once, and an honest
 * error when its deadline passes (rule X1). Produces keep their order (rule X4).
 */
export class GroupCommands<C extends Command | ShardCommand, R extends Result | ShardAnswer> {
  private readonly group: number;
  private readonly link: GroupLink;
  private readonly lanes: CallerLanes<Asker<R>>;
  private deadlineTimer: NodeJS.Timeout | null = null;
  private deadlineTickAt = 0;
  /** Frames that a node refused, waiting to be sent again. */
  private readonly refusedFrames = new Map<LaneFrame, NodeJS.Timeout>();
  private readonly order = new OrderedFrames();
  private orderTimer: NodeJS.Timeout | null = null;
  /** Answers in a row, for want of a predecessor. */
  private gaps = 0;
  /** Ordered commands whose callers were told that nobody knows. */
  private readonly unknown = new Set<string>();
  private lastRefusal: Omit<Refused, "type"> | null = null;
  private readonly traced = new FrameTraces();

  constructor(group: number, link: GroupLink) {
    this.group = group;
    this.link = link;
    this.lanes = new CallerLanes({ newCaller: () => link.newCaller(), ordersProduces: true });
  }

  /** Commands without an answer. */
  get openCount(): number {
    return this.lanes.openCount;
  }
  /** Caller of the command submitted last. */
  get caller(): string {
    return this.lanes.caller;
  }

  /** Takes a command for the frame of this turn, which began at `turn`. Returns its sequence, or 0 when it failed at once. */
  submit(command: C, turn: number, timeoutMs: number, done: Asker<R>, traces: Traces = null): number {
    const sequence = this.place(command, turn + timeoutMs, done);
    if (traces !== null && sequence !== 0) this.traced.add(this.lanes.frameOfSubmitted(sequence), traces);
    if (this.deadlineTimer === null) this.armDeadlines();
    return sequence;
  }

  /** Ends the turn, and adds its frames to `frames`. Without a link they are kept, like any unanswered ones: the next link carries them. */
  collect(frames: LaneFrame[] = []): void {
    this.lanes.collect((frame) => {
      frames.push(frame);
      if (frame.isOrdered) this.order.add(frame);
      else if (this.link.isConnected) this.sendFrame(frame);
    });
    if (this.order.isWaiting) this.sendOrdered();
  }

  /** There is a new link. */
  resend(): void {
    this.forgetRefused();
    for (const frame of this.lanes.unansweredFrames()) if (!frame.isOrdered) this.sendFrame(frame);
    this.order.restart();
    this.sendOrdered();
  }

  isOpen(caller: string, sequence: number): boolean {
    return this.lanes.isOpen(caller, sequence);
  }

  answered(caller: string, sequence: number, result: R): void {
    // It is not told: the frame comes again, behind what it has to follow. Whether another copy of it was executed meanwhile is not known.
    if (result.type === "refused" && result.reason === "out-of-order")
      return this.hold(null, shortestRetryMs * 2 ** Math.min(this.gaps++, 7));
    this.gaps = 0;
    const asker = this.end(caller, sequence, result);
    if (asker !== undefined) tell(asker, null, result);
    if (this.order.isWaiting) this.sendOrdered();
  }

  refused(refused: Omit<Refused, "type">): void {
    const frame = this.lanes.unansweredFrame(refused.caller, refused.firstSequence);
    if (frame === undefined) return;
    frame.sends--;
    this.lastRefusal = refused;
    if (refused.code === "forbidden") return this.forbidden(frame, refused.detail === "" ? "Not allowed" : refused.detail);
    if (frame.isOrdered) return this.hold(frame, refused.retryAfterMs);
    if (this.refusedFrames.has(frame)) return;
    const timer = setTimeout(() => {
      this.refusedFrames.delete(frame);
      if (frame.open > 0 && this.link.isConnected) this.sendFrame(frame);
    }, pauseOf(refused.retryAfterMs));
    this.refusedFrames.set(frame, timer);
  }

  /** The link is closed for good: what has no answer yet fails. */
  close(): void {
    if (this.deadlineTimer !== null) clearTimeout(this.deadlineTimer);
    this.deadlineTimer = null;
    this.forgetRefused();
    this.lanes.collect(() => {});
    this.overdue(Number.POSITIVE_INFINITY);
  }

  private place(command: C, deadline: number, done: Asker<R>): number {
    try {
      const sequence = this.lanes.submit(command, Math.floor(deadline + this.link.groupOffset), deadline, done);
      if (sequence === 0) fail(done, new UnavailableError("overloaded", "Too many commands are open on this connection"));
      return sequence;
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      fail(done, new TrivetError("bad_request", error.message, { cause: error }));
      return 0;
    }
  }

  /** The lane goes on behind what has its answer; but of what was told to be unknown it must be possible to ask what it was (rule X3). */
  private end(caller: string, sequence: number, result: R): Asker<R> | undefined {
    const wasUnknown = this.unknown.delete(nameOf(caller, sequence));
    if (wasUnknown && result.type !== "refused") return this.lanes.giveUp(caller, sequence)?.context;
    return this.lanes.answer(caller, sequence);
  }

  private sendOrdered(): void {
    if (!this.link.isConnected) return;
    for (const frame of this.order.take()) {
      this.lanes.refresh(frame);
      this.sendFrame(frame);
    }
  }

  /** Ordered frames from this one on, or all, go again after a pause, and new ones not before. */
  private hold(from: LaneFrame | null, pauseMs: number): void {
    if (!this.order.hold(from)) return;
    this.orderTimer = setTimeout(() => {
      this.orderTimer = null;
      this.order.release();
      this.sendOrdered();
    }, pauseOf(pauseMs));
  }

  private sendFrame(frame: LaneFrame): void {
    frame.sends++;
    this.link.send(frame.bytes, this.traced.of(frame));
  }

  /** Not to be asked for again. An earlier sending may be in some log: "not allowed" would say that nothing happened. */
  private forbidden(frame: LaneFrame, detail: string): void {
    if (frame.sends > 0) this.withdraw(frame, (sequence) => this.unknownOutcome(frame, sequence));
    else this.withdraw(frame, () => new TrivetError("forbidden", detail));
  }

  /** Gives up what is open of a frame. */
  private withdraw(frame: LaneFrame, why: (sequence: number) => TrivetError): void {
    const { caller, count, firstSequence, isOrdered, sends } = frame;
    for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
      this.unknown.delete(nameOf(caller, sequence));
      // What is behind it must not wait for what never comes.
      const command = isOrdered && sends === 0 ? this.lanes.takeBack(caller, sequence) : this.lanes.giveUp(caller, sequence);
      if (command !== undefined) tell(command.context, why(sequence), null);
    }
    if (this.order.isWaiting) this.sendOrdered();
  }

  private forgetRefused(): void {
    for (const timer of this.refusedFrames.values()) clearTimeout(timer);
    this.refusedFrames.clear();
    if (this.orderTimer !== null) clearTimeout(this.orderTimer);
    this.orderTimer = null;
  }

  private armDeadlines(): void {
    this.deadlineTickAt = performance.now() + deadlineTickMs;
    this.deadlineTimer = setTimeout(() => this.deadlineTick(), deadlineTickMs);
  }

  private deadlineTick(): void {
    this.deadlineTimer = null;
    const now = performance.now();
    // After a stall of this process the answers may be waiting to be read: they come first.
    if (now - this.deadlineTickAt < deadlineTickMs) this.overdue(now);
    if (this.lanes.openCount > 0) this.armDeadlines();
  }

  /** Tells those whose deadline has passed what is certain: nothing happened, or nobody knows. */
  private overdue(now: number): void {
    // Frames that still gather are withdrawn as a whole, too: nothing may join them afterwards.
    this.lanes.closeFrames();
    for (const command of this.lanes.due(now)) {
      const { frame, sequence } = command;
      // No sending of this frame can have reached a log. It is withdrawn as a whole, so that this stays true.
      if (frame.sends === 0) this.withdraw(frame, () => this.unavailable());
      else this.outcomeUnknown(command, sequence, frame);
    }
  }

  private outcomeUnknown(command: OpenCommand<Asker<R>>, sequence: number, frame: LaneFrame): void {
    const { context } = command;
    const { isClosed } = this.link;
    if (frame.isOrdered && !isClosed) {
      // Until its end is known nothing may overtake it, so it is asked for again and again.
      this.unknown.add(nameOf(frame.caller, sequence));
      this.lanes.postpone(frame.caller, sequence, performance.now() + unknownRetryMs);
      this.hold(null, shortestRetryMs);
    } else if (context instanceof Watched && !isClosed) this.lanes.postpone(frame.caller, sequence, Number.POSITIVE_INFINITY);
    else if (this.lanes.giveUp(frame.caller, sequence) === undefined) return;
    tell(context, this.unknownOutcome(frame, sequence), null);
  }

  private unknownOutcome(frame: LaneFrame, sequence: number): OutcomeUnknownError {
    const { caller, notAfter } = frame;
    return new OutcomeUnknownError(formatRequestId({ group: this.group, caller, sequence, notAfter }), notAfter);
  }

  private unavailable(): TrivetError {
    if (this.link.isClosed) return new TrivetError("closed", "The connection was closed before the command was sent");
    const { lastRefusal } = this;
    if (!this.link.isConnected || lastRefusal === null)
      return new UnavailableError("unreachable", `No node could be reached: ${this.link.describeFailures()}`);
    const code = refusalCodes[lastRefusal.code];
    return new UnavailableError(code, `No node took the command: ${lastRefusal.detail === "" ? lastRefusal.code : lastRefusal.detail}`);
  }
}

function nameOf(caller: string, sequence: number): string {
  return `${sequence}/${caller}`;
}

function pauseOf(ms: number): number {
  return Math.min(longestRetryMs, Math.max(shortestRetryMs, ms)) * (0.75 + Math.random() / 4);
}

const refusalCodes = {
  no_leader: "no_leader",
  no_quorum: "no_quorum",
  overloaded: "overloaded",
  stopping: "stopping",
  storage: "storage_unavailable",
  forbidden: "forbidden",
  removed: "node_removed",
  redis_unavailable: "redis_unavailable",
  feature_level: "feature_level",
} as const satisfies Record<Refused["code"], ClientErrorCode>;
