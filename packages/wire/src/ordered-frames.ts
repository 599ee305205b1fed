import type { LaneFrame } from "./lane.ts";

interface Entry {
  readonly frame: LaneFrame;
  isUnderWay: boolean;
}

/**
 * Which frames of an ordered producer may be on their way to a group (rule X4, docs/decisions/0029-ordered-producers.md). Several are, as the group refuses
 * what comes before its predecessor; once one was refused what is behind it is held, and all go again in their order. The order of a lane is the group's to keep, that
 * between lanes is kept here: the next one begins when the one before has all its answers.
 *
 * No clock, no timers: the owner decides when a hold is over.
 */
export class OrderedFrames {
  /** Those not fully answered, in order. */
  private entries: Entry[] = [];
  private held = false;

  add(frame: LaneFrame): void {
    this.entries.push({ frame, isUnderWay: false });
  }

  /** Something is not under way, and nothing holds it but a lane before. */
  get isWaiting(): boolean {
    return !this.held && this.entries.at(-1)?.isUnderWay === false;
  }

  /** Those that may go now, in order; from now on they are under way. */
  take(): readonly LaneFrame[] {
    this.entries = this.entries.filter(({ frame }) => frame.open > 0);
    if (this.held) return [];
    const caller = this.entries[0]?.frame.caller;
    const next = this.entries.findIndex(({ frame }) => frame.caller !== caller);
    const going = (next < 0 ? this.entries : this.entries.slice(0, next)).filter(({ isUnderWay }) => !isUnderWay);
    for (const entry of going) entry.isUnderWay = true;
    return going.map(({ frame }) => frame);
  }

  /** `from` was refused, or (null) one of them came before its predecessor: it and what is behind it, or all, go again after `release`. False = held already. */
  hold(from: LaneFrame | null): boolean {
    const first = from === null ? 0 : this.entries.findIndex(({ frame }) => frame === from);
    for (const entry of first < 0 ? [] : this.entries.slice(first)) entry.isUnderWay = false;
    const begins = !this.held;
    this.held = true;
    return begins;
  }

  release(): void {
    this.held = false;
  }

  /** A new connection: nothing is under way. */
  restart(): void {
    this.held = false;
    for (const entry of this.entries) entry.isUnderWay = false;
  }
}
