/** A command frame on its way, kept until each of its commands is answered or given up. */
export interface LaneFrame {
  readonly caller: string;
  readonly firstSequence: number;
  readonly count: number;
  /** Latest deadline of its commands, group time. */
  readonly notAfter: number;
  /** Never changes once the frame was collected: a retry is the same bytes. Of an ordered one the acknowledgement may follow (`refresh`). */
  readonly bytes: Uint8Array;
  /** What its bytes acknowledge. */
  readonly ackedUpTo: number;
  /** Rule X4: its commands are executed behind those of its caller that come before them, or not at all. */
  readonly isOrdered: boolean;
  /** Commands neither answered nor given up. */
  readonly open: number;
  /**
   * Kept by the owner: sendings that may have reached the log. Add one when sending, take one off when that very sending was refused.
   * At 0, none of the commands can have taken effect.
   */
  sends: number;
}
export type MutableFrame = { -readonly [K in keyof LaneFrame]: LaneFrame[K] };

const openState = 1;
const answeredState = 2;
const abandonedState = 3;

/**
 * One caller identity and the state of its window: a ring of sequences above `ackedUpTo`. Everything at or below `ackedUpTo` was
 * answered; a sequence above `ackedUpTo + window` is not given out (rule X1).
 */
export class Lane<T extends object> {
  readonly caller: string;
  /** Every sequence up to here is answered, or was taken back; one that was given up only where something behind it was taken back. */
  ackedUpTo = 0;
  /** The sequence that the next command gets. */
  nextSequence = 1;
  /** Commands neither answered nor given up. */
  open = 0;
  /** A command was given up: `ackedUpTo` must not pass it, so that its outcome can still be asked for (rule X3). No new commands. */
  retired = false;
  private readonly window: number;
  private readonly states: Uint8Array;
  private readonly deadlines: Float64Array;
  private readonly contexts: (T | undefined)[];
  private readonly frames: (MutableFrame | undefined)[];
  /** The last that was taken back: until it is acknowledged nothing behind it can be executed (rule X4). */
  private takenBack = 0;
  /** No open command's deadline is before this. */
  private earliest = Number.POSITIVE_INFINITY;

  constructor(caller: string, window: number) {
    this.caller = caller;
    this.window = window;
    this.states = new Uint8Array(window);
    this.deadlines = new Float64Array(window);
    this.contexts = Array.from<T | undefined>({ length: window }).fill(undefined);
    this.frames = Array.from<MutableFrame | undefined>({ length: window }).fill(undefined);
  }

  /** Sequences that may still be given out before the oldest open one is answered. */
  get room(): number {
    return this.retired ? 0 : this.window - (this.nextSequence - 1 - this.ackedUpTo);
  }

  /** Gives the next sequence to a command of `frame`. There must be room. */
  place(frame: MutableFrame, deadline: number, context: T): number {
    const sequence = this.nextSequence++;
    const slot = this.slot(sequence);
    this.states[slot] = openState;
    this.deadlines[slot] = deadline;
    this.contexts[slot] = context;
    this.frames[slot] = frame;
    this.open++;
    frame.open++;
    frame.count++;
    if (deadline < this.earliest) this.earliest = deadline;
    return sequence;
  }

  isOpen(sequence: number): boolean {
    return sequence > this.ackedUpTo && sequence < this.nextSequence && this.states[this.slot(sequence)] === openState;
  }

  /** Frame of a sequence that is not yet acknowledged. */
  frameOf(sequence: number): MutableFrame | undefined {
    return sequence > this.ackedUpTo && sequence < this.nextSequence ? this.frames[this.slot(sequence)] : undefined;
  }

  /** Ends an open sequence: answered, taken back as if it were, or given up. Returns its context. */
  close(sequence: number, how: "answered" | "taken back" | "given up"): T {
    const slot = this.slot(sequence);
    const context = this.contexts[slot];
    const frame = this.frames[slot];
    if (context === undefined || frame === undefined || this.states[slot] !== openState) throw new RangeError(`${sequence} is not open`);
    this.contexts[slot] = undefined;
    this.states[slot] = how === "given up" ? abandonedState : answeredState;
    this.open--;
    frame.open--;
    if (how === "given up") this.retired = true;
    if (how === "taken back" && sequence > this.takenBack) this.takenBack = sequence;
    if (sequence === this.ackedUpTo + 1 || this.takenBack > this.ackedUpTo) this.advance();
    return context;
  }

  /** Sets another deadline for an open sequence. */
  postpone(sequence: number, deadline: number): void {
    this.deadlines[this.slot(sequence)] = deadline;
    if (deadline < this.earliest) this.earliest = deadline;
  }

  /** Context of an open sequence. */
  contextOf(sequence: number): T {
    const context = this.contexts[this.slot(sequence)];
    if (context === undefined) throw new RangeError(`${sequence} is not open`);
    return context;
  }

  /** Adds the open sequences whose deadline is at or before `now` to `due`. Costs nothing while none can be. */
  collectDue(now: number, due: number[]): void {
    if (now < this.earliest) return;
    this.earliest = Number.POSITIVE_INFINITY;
    for (let sequence = this.ackedUpTo + 1; sequence < this.nextSequence; sequence++) {
      const slot = this.slot(sequence);
      if (this.states[slot] !== openState) continue;
      const deadline = this.deadlines[slot] as number;
      if (deadline <= now) due.push(sequence);
      if (deadline < this.earliest) this.earliest = deadline;
    }
  }

  private advance(): void {
    let acked = this.ackedUpTo;
    while (acked + 1 < this.nextSequence) {
      const state = this.states[this.slot(acked + 1)];
      // An acknowledgement is of all that comes before.
      if (state !== answeredState && !(state === abandonedState && acked + 1 < this.takenBack)) break;
      acked++;
      this.frames[this.slot(acked)] = undefined;
    }
    this.ackedUpTo = acked;
  }

  private slot(sequence: number): number {
    return sequence % this.window;
  }
}
