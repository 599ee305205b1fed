import type { GroupId, SnapshotMeta } from "@trivet/core";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";

/** Counts and times a group's snapshots, and remembers when the last one was made: its file does not say. */
export class SnapshotMeter {
  private readonly group: GroupId;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private madeAt: number | null = null;

  constructor(group: GroupId, clock: Clock, telemetry: Telemetry) {
    this.group = group;
    this.clock = clock;
    this.telemetry = telemetry;
  }

  taken({ index, bytes }: SnapshotMeta, startedAt: number): void {
    this.made("taken");
    this.telemetry.observe("trivet_snapshot_duration_seconds", (this.clock.now() - startedAt) / 1000);
    const text = `snapshot of group ${this.group} at index ${index}: ${bytes} bytes`;
    this.telemetry.log("info", "snapshot.taken", text, { group: this.group, index, bytes });
  }

  installed({ index }: SnapshotMeta): void {
    const text = `installed the leader's snapshot of group ${this.group} at index ${index}`;
    this.telemetry.log("info", "snapshot.installed", text, { group: this.group, index });
  }

  /** Of a leader, or of whoever had a good state in the place of one in doubt. */
  received(): void {
    this.made("installed");
  }

  /** Null = of before this process began. */
  ageMs(): number | null {
    return this.madeAt === null ? null : this.clock.now() - this.madeAt;
  }

  private made(kind: string): void {
    this.madeAt = this.clock.now();
    this.telemetry.count("trivet_snapshots_total", 1, { kind });
  }
}
