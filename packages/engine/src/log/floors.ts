import type { GroupId, HardState, LogIndex } from "@trivet/core";
import { invariant, logIndex } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { WalRecord } from "./record-format.ts";
import { unknownHardState } from "./segment.ts";
import type { Distrust, GroupTable } from "./segment.ts";
import { type Doubt, type Floor, newReplica } from "./types.ts";

interface GroupLine {
  hardState: HardState;
  commit: LogIndex;
  floor: Floor | null;
  /** Last log index written; the floor's after an install. */
  last: LogIndex;
  /** See GroupTable. */
  lost: string | null;
  lostConfig: Uint8Array | null;
}

interface SegmentLine {
  readonly sequence: number;
  bytes: number;
  /** Highest index per group whose entry in this segment is not void. */
  readonly last: Map<GroupId, LogIndex>;
}

/**
 * What is durable in which segment: the source of every new segment's table, and the judge of which segments may go (rule W1).
 * It follows the log batch by batch, in recovery and when writing.
 */
export class Floors {
  private readonly groups = new Map<GroupId, GroupLine>();
  private readonly segments: SegmentLine[] = [];
  distrust: Distrust | null = null;

  get segmentCount(): number {
    return this.segments.length;
  }

  get oldest(): number {
    return this.segments[0]?.sequence ?? 0;
  }

  startSegment(sequence: number, bytes: number): void {
    this.segments.push({ sequence, bytes, last: new Map() });
  }

  /** The newest segment grew. */
  grew(bytes: number): void {
    const newest = this.segments.at(-1);
    if (newest !== undefined) newest.bytes += bytes;
  }

  get diskBytes(): number {
    let bytes = 0;
    for (const segment of this.segments) bytes += segment.bytes;
    return bytes;
  }

  /** Takes over a group as recovery left it. */
  adopt({ group, ...line }: GroupTable): void {
    this.groups.set(group, line);
  }

  /** A batch in the newest segment became durable. */
  apply(record: WalRecord): void {
    switch (record.type) {
      case "hard-state":
        this.line(record.group).hardState = record.hardState;
        return;
      case "truncate":
        this.void(record.group, record.from);
        return;
      case "entries":
        this.append(record.group, record.entries[0]?.index ?? logIndex(0), record.entries.at(-1)?.index ?? logIndex(0));
        return;
      case "commit":
        this.line(record.group).commit = record.commit;
        return;
      case "floor":
        this.line(record.floor.group).floor = record.floor;
        return;
      case "installed":
        this.install(record.floor, record.keepSuffix);
        return;
      case "trust":
        this.trust(record.group);
        return;
      case "distrust":
        this.line(record.group).lost = record.detail;
        return;
    }
  }

  /** Why a group, or with null one that nothing is known of, may not vote; null = it may. */
  doubt(group: GroupId | null): Doubt | null {
    if (mutant("wal-vote-after-loss")) return null;
    const lost = group === null ? null : (this.groups.get(group)?.lost ?? null);
    if (lost !== null) return lost === newReplica && !mutant("wal-newcomer-forgotten") ? "newcomer" : "damage";
    if (this.distrust === null || (group !== null && this.distrust.cleared.includes(group))) return null;
    return this.distrust.doubt;
  }

  /** A loss was found: no group may vote until it was caught up past what may be gone. */
  lose(doubt: Distrust["doubt"], detail: string, groups: Iterable<GroupId>): void {
    const cleared = this.distrust?.cleared ?? [];
    // Damage of before that a group was not caught up after is not mended by a torn tail.
    const still = this.distrust?.doubt === "damage" && [...groups].some((group) => !cleared.includes(group));
    this.distrust = { doubt: still ? "damage" : doubt, detail, cleared: [] };
  }

  /** Every group's state, for the table of the next segment. */
  tables(): GroupTable[] {
    const sorted = [...this.groups].sort(([a], [b]) => a - b);
    return sorted.map(([group, line]) => ({ group, ...line }));
  }

  /** The oldest segment when no group needs it, else null. The newest is never given up: it holds the newest table (rule W1). */
  deletable(): number | null {
    const [oldest] = this.segments;
    if (oldest === undefined || this.segments.length < 2) return null;
    return this.holder(oldest) === null || mutant("wal-delete-needed-segment") ? oldest.sequence : null;
  }

  deleted(sequence: number): void {
    const oldest = this.segments.shift();
    invariant(oldest?.sequence === sequence, "wal-oldest-first", () => `deleted ${sequence}, the oldest was ${oldest?.sequence}`);
  }

  /** The group that needs the oldest segment most, null = none or only one segment. */
  heldBackBy(): GroupId | null {
    const [oldest] = this.segments;
    return oldest === undefined || this.segments.length < 2 ? null : this.holder(oldest);
  }

  private holder(segment: SegmentLine): GroupId | null {
    let holder: GroupId | null = null;
    let most = 0;
    for (const [group, last] of segment.last) {
      const floor = this.groups.get(group)?.floor;
      const needed = last - ((floor?.keepFrom ?? 1) - 1);
      if (needed > most) [holder, most] = [group, needed];
    }
    return holder;
  }

  private line(group: GroupId): GroupLine {
    let line = this.groups.get(group);
    if (line === undefined) {
      line = { hardState: unknownHardState, commit: logIndex(0), floor: null, last: logIndex(0), lost: null, lostConfig: null };
      this.groups.set(group, line);
    }
    return line;
  }

  private append(group: GroupId, first: LogIndex, last: LogIndex): void {
    const line = this.line(group);
    if (first <= line.last) this.void(group, first);
    line.last = last;
    this.segments.at(-1)?.last.set(group, last);
  }

  /** Entries of `group` from `from` on hold no segment back any more. */
  private void(group: GroupId, from: LogIndex): void {
    const line = this.line(group);
    if (line.last >= from) line.last = logIndex(from - 1);
    for (const segment of this.segments) {
      const last = segment.last.get(group);
      if (last === undefined || last < from) continue;
      if (from <= 1) segment.last.delete(group);
      else segment.last.set(group, logIndex(from - 1));
    }
  }

  private install(floor: Floor, keepSuffix: boolean): void {
    const line = this.line(floor.group);
    const keeps = keepSuffix && line.last >= floor.index;
    if (!keeps) {
      this.void(floor.group, logIndex(1));
      line.last = floor.index;
    }
    line.floor = floor;
    if (floor.index > line.commit) line.commit = floor.index;
  }

  private trust(group: GroupId | null): void {
    for (const [id, line] of this.groups) if (group === null || group === id) Object.assign(line, { lost: null, lostConfig: null });
    if (this.distrust === null) return;
    const { cleared } = this.distrust;
    if (group === null) this.distrust = null;
    else if (!cleared.includes(group)) this.distrust = { ...this.distrust, cleared: [...cleared, group] };
  }
}
