import {
  CallerLanes,
  CodecError,
  type Command,
  type LaneFrame,
  type OpenCommand,
  type Refused,
  type ShardCommand,
  formatRequestId,
} from "@trivet/wire";
import { type Asker, Watched, fail, tell } from "./answered.ts";
import { type ClientErrorCode, OutcomeUnknownError, TrivetError, UnavailableError } from "./errors.ts";

/** The connection that a group's commands travel over. */
export interface GroupLink {
  readonly isClosed: boolean;
  /** A node is there that takes frames of this group. */
  readonly isConnected: boolean;
  /** Group time minus monotonic time. */
  readonly groupOffset: number;
  send(frame: Uint8Array): void;
  newCaller(): string;
  describeFailures(): string;
}

/** How often deadlines are looked at while commands are open. */
const deadlineTickMs = 50;
/** Bounds of the pause before a refused frame is sent again. */
const shortestRetryMs = 10;
const longestRetryMs = 1_000;

/**
 * Commands to one Raft group: one frame per turn, the same bytes again after a lost link or a refusal, each command's answer exactly once, and an honest
 * error when its deadline passes (rule X1).
 */
export class GroupCommands<C extends Command | ShardCommand, R> {
  private readonly group: number;
  private readonly link: GroupLink;
  private readonly lanes: CallerLanes<Asker<R>>;
  private deadlineTimer: NodeJS.Timeout | null = null;
  private deadlineTickAt = 0;
  /** Frames that a node refused, waiting to be sent again. */
  private readonly refusedFrames = new Map<LaneFrame, NodeJS.Timeout>();
  private lastRefusal: Omit<Refused, "type"> | null = null;

  constructor(group: number, link: GroupLink) {
    this.group = group;
    this.link = link;
    this.lanes = new CallerLanes({ newCaller: () => link.newCaller() });
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
  submit(command: C, turn: number, timeoutMs: number, done: Asker<R>): number {
    const sequence = this.place(command, turn + timeoutMs, done);
    if (this.deadlineTimer === null) this.armDeadlines();
    return sequence;
  }

  /** Ends the turn, and adds its frames to `frames`. Without a link they are kept, like any unanswered ones: the next link carries them. */
  collect(frames: LaneFrame[] = []): void {
    this.lanes.collect((frame) => {
      frames.push(frame);
      if (this.link.isConnected) this.sendFrame(frame);
    });
  }

  /** There is a new link. */
  resend(): void {
    this.forgetRefused();
    for (const frame of this.lanes.unansweredFrames()) this.sendFrame(frame);
  }

  isOpen(caller: string, sequence: number): boolean {
    return this.lanes.isOpen(caller, sequence);
  }

  answered(caller: string, sequence: number, result: R): void {
    const asker = this.lanes.answer(caller, sequence);
    if (asker !== undefined) tell(asker, null, result);
  }

  refused(refused: Omit<Refused, "type">): void {
    const frame = this.lanes.unansweredFrame(refused.caller, refused.firstSequence);
    if (frame === undefined) return;
    frame.sends--;
    this.lastRefusal = refused;
    if (refused.code === "forbidden")
      return this.withdraw(frame, new TrivetError("forbidden", refused.detail === "" ? "Not allowed" : refused.detail));
    if (this.refusedFrames.has(frame)) return;
    const pause = Math.min(longestRetryMs, Math.max(shortestRetryMs, refused.retryAfterMs)) * (0.75 + Math.random() / 4);
    const timer = setTimeout(() => {
      this.refusedFrames.delete(frame);
      if (frame.open > 0 && this.link.isConnected) this.sendFrame(frame);
    }, pause);
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

  private sendFrame(frame: LaneFrame): void {
    frame.sends++;
    this.link.send(frame.bytes);
  }

  /** Gives up what is open of a frame. */
  private withdraw(frame: LaneFrame, error: TrivetError): void {
    for (let i = 0; i < frame.count; i++) {
      const command = this.lanes.giveUp(frame.caller, frame.firstSequence + i);
      if (command !== undefined) tell(command.context, error, null);
    }
  }

  private forgetRefused(): void {
    for (const timer of this.refusedFrames.values()) clearTimeout(timer);
    this.refusedFrames.clear();
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
      if (frame.sends === 0) this.withdraw(frame, this.unavailable());
      else this.outcomeUnknown(command, sequence, frame);
    }
  }

  private outcomeUnknown(command: OpenCommand<Asker<R>>, sequence: number, frame: LaneFrame): void {
    const { context } = command;
    if (context instanceof Watched && !this.link.isClosed) this.lanes.postpone(frame.caller, sequence, Number.POSITIVE_INFINITY);
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
