import { CommandFrameBuilder, withAcknowledged } from "./command-frame.ts";
import type { Command } from "./commands.ts";
import type { ShardCommand } from "./queue-commands.ts";
import { Lane, type LaneFrame, type MutableFrame } from "./lane.ts";
import { limits } from "./limits.ts";

export interface CallerLanesOptions {
  /** A caller id that nobody has used: random, at least 128 bits, at most `limits.maxCallerBytes`. */
  readonly newCaller: () => string;
  /** Open commands per caller. */
  readonly window?: number;
  /** Lanes at most; beyond, `submit` finds no room. Bounds the callers that the dedupe table must remember. */
  readonly maxLanes?: number;
  /** A frame is closed when its commands reach this size, so that batches stay moderate. */
  readonly targetFrameBytes?: number;
  /**
   * Commands share a frame only when their not-after is the same. Without it a frame takes the latest, and a request id must be made from
   * the frame, not from the command: "not executed" (rule X3) is final only after the frame's not-after.
   */
  readonly exactDeadlines?: boolean;
  /** Produces have lanes of their own, whose frames are ordered (rule X4). Who wants that sends them as `OrderedFrames` says. */
  readonly ordersProduces?: boolean;
  /** A lane is over: its caller id is never used again, and none of its commands is open. */
  readonly laneEnded?: (caller: string) => void;
}

/** A command that is open, or was until it was given up. */
export interface OpenCommand<T> {
  readonly context: T;
  readonly sequence: number;
  readonly frame: LaneFrame;
}

/** Commands of one kind share a lane: the current one, and the ones parked because their window was full. */
interface Track<T extends object> {
  readonly isOrdered: boolean;
  readonly builder: CommandFrameBuilder;
  /** The frame being built; null = none. */
  frame: MutableFrame | null;
  lane: Lane<T> | null;
  readonly parked: Lane<T>[];
}

const noBytes: Uint8Array = new Uint8Array(0);

/**
 * The sender's side of exactly-once (rule X1, docs/decisions/0002-hot-path.md), shared by the SDK and by a node's own submissions.
 * It gives each command a (caller, sequence), gathers the commands of one turn into frames, keeps frames until they are answered so
 * that a retry is the same bytes, and hands out the context of each command exactly once, however often its answer arrives.
 *
 * A caller may have only a window of commands open, and one long wait would block it. Hence *lanes*: when the window of a lane is
 * full it is parked and another lane, with another caller id, takes over. Commands that may wait (acquire and upgrade with a wait)
 * have lanes of their own: mixed with short ones, every long wait would sooner or later block a lane of its own.
 *
 * Order: commands of one kind keep it. Between a command that may wait and one that does not, only the order of turns (`collect`) is
 * kept, as between produces that are ordered and all else; so a command that depends on another one waits for its answer, or at least for its turn.
 *
 * No clock, no timers: times are arguments. Deadlines are counted on whatever clock the owner likes; `notAfter` is group time.
 */
export class CallerLanes<T extends object> {
  private readonly newCaller: () => string;
  private readonly window: number;
  private readonly maxLanes: number;
  private readonly targetFrameBytes: number;
  private readonly exactDeadlines: boolean;
  private readonly ordersProduces: boolean;
  private readonly laneEnded: (caller: string) => void;
  private readonly lanes = new Map<string, Lane<T>>();
  private readonly prompt: Track<T> = newTrack(false);
  private readonly patient: Track<T> = newTrack(false);
  private readonly ordered: Track<T> = newTrack(true);
  private readonly tracks: readonly Track<T>[] = [this.prompt, this.patient, this.ordered];
  /** Frames begun since the last `collect`, in order. */
  private pending: MutableFrame[] = [];
  /** Frames collected and not fully answered, in order. */
  private readonly unanswered = new Set<MutableFrame>();
  private open = 0;
  private lastLane: Lane<T> | null = null;
  private submitted: Lane<T> | null = null;

  constructor(options: CallerLanesOptions) {
    this.newCaller = options.newCaller;
    this.window = options.window ?? limits.callerWindow;
    this.maxLanes = options.maxLanes ?? 64;
    this.targetFrameBytes = options.targetFrameBytes ?? 256 * 1024;
    this.exactDeadlines = options.exactDeadlines ?? false;
    this.ordersProduces = options.ordersProduces ?? false;
    this.laneEnded = options.laneEnded ?? (() => undefined);
  }

  /**
   * Takes a command for the next frame. Returns its sequence (its caller is then `caller`), or 0 when every lane is full: nothing
   * happened, try again when something was answered. Throws CodecError when the command cannot be encoded; again nothing happened.
   */
  submit(command: Command | ShardCommand, notAfter: number, deadline: number, context: T): number {
    const track = this.trackOf(command);
    let { lane } = track;
    if (lane === null || lane.room === 0) {
      lane = this.rotate(track);
      if (lane === null) return 0;
    }
    const isAlone = command.type === "anchor-audit";
    if (isAlone || (this.exactDeadlines && track.frame !== null && track.frame.notAfter !== notAfter)) closeFrame(track);
    const { builder } = track;
    let { frame } = track;
    if (frame === null) builder.begin(lane.caller, "", notAfter, 0, lane.nextSequence);
    builder.add(command);
    if (frame === null) {
      const { isOrdered } = track;
      const { caller, nextSequence: firstSequence } = lane;
      frame = { caller, firstSequence, count: 0, notAfter, bytes: noBytes, ackedUpTo: 0, isOrdered, open: 0, sends: 0 };
      track.frame = frame;
      this.pending.push(frame);
    } else if (notAfter > frame.notAfter) frame.notAfter = notAfter;
    const sequence = lane.place(frame, deadline, context);
    this.open++;
    this.submitted = lane;
    // A leader whose disk is low takes anchors and nothing else: what shares a frame shares its fate.
    if (isAlone || builder.count >= limits.maxCommandsPerFrame || builder.byteLength >= this.targetFrameBytes) closeFrame(track);
    return sequence;
  }

  /** Caller of the command submitted last. */
  get caller(): string {
    return this.submitted === null ? "" : this.submitted.caller;
  }

  /** Which frame carries the command that was submitted last, under this sequence. */
  frameOfSubmitted(sequence: number): LaneFrame | undefined {
    return this.submitted?.frameOf(sequence);
  }

  /** Commands neither answered nor given up. */
  get openCount(): number {
    return this.open;
  }

  /** True when commands wait for `collect`. */
  get hasPending(): boolean {
    return this.pending.length > 0;
  }

  /** Lanes in use, parked or spare. */
  get laneCount(): number {
    return this.lanes.size;
  }

  /** What is submitted from now on goes into further frames, so that those begun can be given up as a whole. */
  closeFrames(): void {
    for (const track of this.tracks) closeFrame(track);
  }

  /** Ends the turn: hands out the frames begun since the last call, in order. `send` may not submit. */
  collect(send: (frame: LaneFrame) => void): void {
    const { pending } = this;
    if (pending.length === 0) return;
    this.closeFrames();
    this.pending = [];
    for (const frame of pending) {
      // Given up before it was ever sent: it never will be.
      if (frame.open === 0) continue;
      this.unanswered.add(frame);
      send(frame);
    }
  }

  /** Frames collected earlier with a command neither answered nor given up, in order: what a new connection must carry again. */
  unansweredFrames(): readonly LaneFrame[] {
    return [...this.unanswered];
  }

  /** The collected frame that begins with this sequence, unless it is fully answered. A search: refusals are rare. */
  unansweredFrame(caller: string, firstSequence: number): LaneFrame | undefined {
    for (const frame of this.unanswered) if (frame.firstSequence === firstSequence && frame.caller === caller) return frame;
    return undefined;
  }

  /** Takes an answer. Returns the command's context the first time, undefined for anything unknown, repeated or given up. */
  answer(caller: string, sequence: number): T | undefined {
    const lane = this.find(caller);
    if (lane === undefined || !lane.isOpen(sequence)) return undefined;
    return this.end(lane, sequence, "answered");
  }

  isOpen(caller: string, sequence: number): boolean {
    return this.find(caller)?.isOpen(sequence) ?? false;
  }

  /**
   * The open commands whose deadline is at or before `now`. The owner gives each up, or postpones it; else it is named again next
   * time.
   */
  due(now: number): readonly OpenCommand<T>[] {
    const found: OpenCommand<T>[] = [];
    const sequences: number[] = [];
    for (const lane of this.lanes.values()) {
      lane.collectDue(now, sequences);
      for (const sequence of sequences) found.push(openCommand(lane, sequence));
      sequences.length = 0;
    }
    return found;
  }

  /** Gives up every command whose deadline is at or before `now`. */
  giveUpDue(now: number): readonly OpenCommand<T>[] {
    const given = this.due(now);
    for (const { frame, sequence } of given) this.giveUp(frame.caller, sequence);
    return given;
  }

  /** Sets another deadline for an open command. */
  postpone(caller: string, sequence: number, deadline: number): void {
    const lane = this.find(caller);
    if (lane !== undefined && lane.isOpen(sequence)) lane.postpone(sequence, deadline);
  }

  /**
   * Gives up one command: a later answer is ignored. Its lane takes no more commands and never acknowledges it, so that the outcome
   * can still be asked for (rule X3), unless one behind it was taken back. Undefined when it is not open.
   */
  giveUp(caller: string, sequence: number): OpenCommand<T> | undefined {
    const lane = this.find(caller);
    if (lane === undefined || !lane.isOpen(sequence)) return undefined;
    const command = openCommand(lane, sequence);
    this.end(lane, sequence, "given up");
    return command;
  }

  /** Gives up one command that was in no log and never will be: there is no outcome to ask for, so its lane goes on. Undefined when it is not open. */
  takeBack(caller: string, sequence: number): OpenCommand<T> | undefined {
    const lane = this.find(caller);
    if (lane === undefined || !lane.isOpen(sequence)) return undefined;
    const command = openCommand(lane, sequence);
    this.end(lane, sequence, "taken back");
    return command;
  }

  /** Before an ordered frame is sent again: what was answered, or taken back, since then is no gap before it. */
  refresh(frame: LaneFrame): void {
    const lane = this.find(frame.caller);
    const mine = lane?.frameOf(frame.firstSequence + frame.count - 1);
    if (lane === undefined || mine !== frame || lane.ackedUpTo <= frame.ackedUpTo || lane.ackedUpTo >= frame.firstSequence) return;
    mine.ackedUpTo = lane.ackedUpTo;
    mine.bytes = withAcknowledged(frame.bytes, lane.ackedUpTo);
  }

  private trackOf(command: Command | ShardCommand): Track<T> {
    if (command.type === "produce" && this.ordersProduces) return this.ordered;
    return mayWait(command) ? this.patient : this.prompt;
  }

  private end(lane: Lane<T>, sequence: number, how: Parameters<Lane<T>["close"]>[1]): T {
    const frame = lane.frameOf(sequence);
    const context = lane.close(sequence, how);
    this.open--;
    if (frame !== undefined && frame.open === 0) this.unanswered.delete(frame);
    if (lane.open === 0) this.dropFinished(lane);
    return context;
  }

  /** A retired lane can never be used again. Others stay as spares: reusing a caller id spares the dedupe table a new one. */
  private dropFinished(lane: Lane<T>): void {
    if (!lane.retired || this.tracks.some((track) => track.lane === lane)) return;
    this.lanes.delete(lane.caller);
    if (this.lastLane === lane) this.lastLane = null;
    for (const { parked } of this.tracks) {
      const at = parked.indexOf(lane);
      if (at >= 0) parked.splice(at, 1);
    }
    this.laneEnded(lane.caller);
  }

  private find(caller: string): Lane<T> | undefined {
    // Answers come in runs of one caller, whose string is then the very same object.
    if (this.lastLane !== null && this.lastLane.caller === caller) return this.lastLane;
    const lane = this.lanes.get(caller);
    if (lane !== undefined) this.lastLane = lane;
    return lane;
  }

  /** Parks the lane of a track and finds it another: a parked one with much room, else a fresh one, else a parked one with any. */
  private rotate(track: Track<T>): Lane<T> | null {
    closeFrame(track);
    const full = track.lane;
    track.lane = null;
    if (full !== null) {
      track.parked.push(full);
      if (full.open === 0) this.dropFinished(full);
    }
    track.lane = takeParked(track, this.window / 4) ?? this.freshLane() ?? takeParked(track, 1);
    return track.lane;
  }

  private freshLane(): Lane<T> | null {
    if (this.lanes.size >= this.maxLanes) return null;
    const lane = new Lane<T>(this.newCaller(), this.window);
    if (this.lanes.has(lane.caller)) throw new RangeError(`caller ${lane.caller} is not fresh`);
    this.lanes.set(lane.caller, lane);
    return lane;
  }
}

function openCommand<T extends object>(lane: Lane<T>, sequence: number): OpenCommand<T> {
  const frame = lane.frameOf(sequence);
  if (frame === undefined) throw new RangeError(`${sequence} has no frame`);
  return { context: lane.contextOf(sequence), sequence, frame };
}

function newTrack<T extends object>(isOrdered: boolean): Track<T> {
  return { isOrdered, builder: new CommandFrameBuilder(), frame: null, lane: null, parked: [] };
}

/** Fixes the bytes of the frame being built, if any. */
function closeFrame<T extends object>(track: Track<T>): void {
  const { frame, builder, lane } = track;
  if (frame === null || lane === null) return;
  builder.notAfter = frame.notAfter;
  builder.ordered = frame.isOrdered;
  builder.ackedUpTo = lane.ackedUpTo;
  frame.ackedUpTo = lane.ackedUpTo;
  frame.bytes = builder.finish();
  track.frame = null;
}

function takeParked<T extends object>(track: Track<T>, wanted: number): Lane<T> | null {
  const at = track.parked.findIndex((lane) => lane.room >= wanted);
  if (at < 0) return null;
  return track.parked.splice(at, 1)[0] ?? null;
}

function mayWait(command: Command | ShardCommand): boolean {
  return (command.type === "acquire" || command.type === "upgrade") && command.waitMs > 0;
}
