import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";

const skewAlarmMs = 5_000;

/**
 * Group time (rule L3): calendar time of a group, stamped into entries by its leader. Never goes back, advances with the leader's
 * monotonic clock, and takes the wall clock into account only when a leader takes over. Followers estimate it from what they hear.
 */
export class GroupTime {
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  /** Value and the monotonic time it was true at. */
  private value = 0;
  private at: number;
  private known = false;
  /** Group time of the applied state: may be old after a restart, but time never goes back behind it. */
  private floor = 0;
  /** What a leader last said, this node itself or another; `value` may be ahead of it, as it never goes back. */
  private said: { readonly value: number; readonly at: number } | null = null;

  constructor(clock: Clock, telemetry: Telemetry) {
    this.clock = clock;
    this.telemetry = telemetry;
    this.at = clock.now();
  }

  /** This node begins to lead; `applied` is the group time of its state. */
  takeOver(applied: number): void {
    this.atLeast(applied);
    const wall = this.clock.wallNow();
    // What a leader said lately is compared with this clock; without one, only a clock behind the state itself is suspicious.
    const difference = this.known ? wall - this.now() : Math.min(0, wall - applied);
    if (Math.abs(difference) > skewAlarmMs) {
      this.telemetry.log("warn", "time.skew", `this node's wall clock differs from group time by ${Math.round(difference)} ms`, {
        wall,
        groupTime: this.now(),
      });
      this.telemetry.count("trivet_clock_skew_alarms_total", 1);
    }
    this.set(Math.max(wall, applied, this.now()));
    this.said = { value: this.value, at: this.at };
  }

  /** A value at least this large was stamped or reported by a leader. */
  heard(groupTime: number): void {
    if (groupTime <= 0) return;
    this.said = { value: groupTime, at: this.clock.now() };
    if (groupTime >= this.now() || !this.known) this.set(groupTime);
  }

  /** This node's wall clock less group time, the way of the leader's message included; null before a leader was heard. */
  wallOffset(): number | null {
    return this.said === null ? null : this.clock.wallNow() - (this.said.value + this.clock.now() - this.said.at);
  }

  /** The applied state says so. */
  atLeast(groupTime: number): void {
    if (groupTime > this.floor) this.floor = groupTime;
  }

  /** Best estimate now, whole milliseconds; the leader's own value is what counts. */
  now(): number {
    const estimate = this.known ? this.value + (this.clock.now() - this.at) : this.clock.wallNow();
    return Math.max(this.floor, Math.floor(estimate));
  }

  private set(value: number): void {
    this.value = value;
    this.at = this.clock.now();
    this.known = true;
  }
}
