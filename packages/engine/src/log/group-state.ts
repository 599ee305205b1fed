import type { Entry, GroupId, HardState, LogIndex } from "@trivet/core";
import { logIndex } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { WalRecord } from "./record-format.ts";
import { unknownHardState } from "./segment.ts";
import type { GroupTable } from "./segment.ts";
import type { Floor } from "./types.ts";

/** What the log says about one group, rebuilt by recovery from records in order. */
export class GroupState {
  readonly group: GroupId;
  hardState: HardState = unknownHardState;
  floor: Floor | null = null;
  commit: LogIndex = logIndex(0);
  /** Contiguous. */
  entries: Entry[] = [];
  /** Why this group alone is in doubt (rule W6). */
  lost: string | null = null;
  /** The newest configuration behind a damaged place: not in force here, but it says who else has the data. */
  lostConfig: Uint8Array | null = null;
  /** Entries up to here, above the floor, should be in the log but were in no segment that is left. 0 = none. */
  private absentTo = 0;

  constructor(group: GroupId) {
    this.group = group;
  }

  get lastIndex(): LogIndex {
    return this.entries.at(-1)?.index ?? this.floor?.index ?? logIndex(0);
  }

  /**
   * The table of the next segment. In an unbroken log it says what is known already. Where older segments are gone it is the
   * beginning; behind a cut, it tells what the cut made void. Behind damage, what is absent is known to be lost.
   */
  applyTable(table: GroupTable, behindDamage: boolean): void {
    if (table.hardState.term > this.hardState.term || this.hardState.vote === null) this.hardState = table.hardState;
    if (table.commit > this.commit) this.commit = table.commit;
    if (table.floor !== null && table.floor.index >= (this.floor?.index ?? 0)) this.setFloor(table.floor);
    this.lost = behindDamage ? (this.lost ?? table.lost) : table.lost;
    this.lostConfig = table.lostConfig ?? (behindDamage ? this.lostConfig : null);
    this.truncate(logIndex(table.last + 1));
    if (table.last > this.lastIndex && !behindDamage) this.absentTo = table.last;
  }

  /** Applies a record of an unbroken log. Returns why it cannot follow what came before, or null. */
  apply(record: WalRecord): string | null {
    switch (record.type) {
      case "hard-state":
        if (record.hardState.term < this.hardState.term) return `term of group ${this.group} goes back`;
        this.hardState = record.hardState;
        return null;
      case "truncate":
        if (!mutant("wal-truncation-ignored")) this.truncate(record.from);
        return null;
      case "entries":
        return this.append(record.entries);
      case "commit":
        if (record.commit > this.commit) this.commit = record.commit;
        return null;
      case "floor":
        this.setFloor(record.floor);
        return null;
      case "installed":
        this.install(record.floor, record.keepSuffix);
        return null;
      case "trust":
        this.lost = null;
        this.lostConfig = null;
        return null;
      case "distrust":
        this.lost = record.detail;
        return null;
    }
  }

  /**
   * Applies a record from beyond a damaged place (rule W6). Terms, votes, floors and cuts still hold; entries cannot be joined to
   * what was kept, and what they overwrote is void. Commit hints may speak of entries that are lost.
   */
  salvage(record: WalRecord): void {
    switch (record.type) {
      case "hard-state":
        if (record.hardState.term >= this.hardState.term) this.hardState = record.hardState;
        return;
      case "entries":
        this.truncate(record.entries[0]?.index ?? logIndex(1));
        this.lostConfig = record.entries.findLast((entry) => entry.kind === "config")?.payload ?? this.lostConfig;
        return;
      case "truncate":
      case "floor":
      case "installed":
      case "distrust":
        this.apply(record);
        return;
      case "commit":
      case "trust":
        return;
    }
  }

  /** Forgets entries nobody wants and limits the commit hint. Returns why the log has a hole, or null. */
  finish(): string | null {
    const { floor } = this;
    if (floor !== null) {
      if (this.lastIndex < floor.index) this.entries = [];
      const kept = this.entries.findIndex((entry) => entry.index >= floor.keepFrom);
      this.entries = kept < 0 ? [] : this.entries.slice(kept);
    }
    const first = this.entries[0]?.index ?? logIndex(0);
    const wanted = (floor?.index ?? 0) + 1;
    if (this.absentTo >= wanted || first > wanted) {
      this.entries = [];
      this.commit = floor?.index ?? logIndex(0);
      return `of group ${this.group}, entries from ${wanted} to ${Math.max(this.absentTo, first - 1)} are missing`;
    }
    const last = this.lastIndex;
    this.commit = logIndex(Math.min(Math.max(this.commit, floor?.index ?? 0), last));
    return null;
  }

  private truncate(from: LogIndex): void {
    this.absentTo = Math.min(this.absentTo, from - 1);
    const first = this.entries[0]?.index;
    if (first === undefined || from > this.lastIndex) return;
    this.entries.length = Math.max(0, from - first);
  }

  private append(entries: readonly Entry[]): string | null {
    const first = entries[0]?.index ?? logIndex(0);
    if (this.continuesFloor(first)) this.entries = [];
    if (this.entries.length > 0 && first > this.lastIndex + 1)
      return `entries of group ${this.group} jump from ${this.lastIndex} to ${first}`;
    this.truncate(first);
    for (const entry of entries) this.entries.push(entry);
    return null;
  }

  /**
   * Damage took what followed the entries there are, but not the word that the state holds all of it: the log goes on behind the state, and the hole
   * before that is of no account. Found once, the damage is not to be found again there by every start.
   */
  private continuesFloor(first: LogIndex): boolean {
    if (mutant("wal-floor-behind-damage-forgotten")) return false;
    return this.floor !== null && first === this.floor.index + 1 && (this.entries.at(-1)?.index ?? first) < this.floor.index;
  }

  private setFloor(floor: Floor): void {
    this.floor = floor;
    if (floor.index > this.commit) this.commit = floor.index;
  }

  /**
   * The state machine became that of a snapshot (rule W5). Whether the suffix stays was decided when the record was written, from the
   * term at the snapshot's index; here that entry may already have left with a deleted segment.
   */
  private install(floor: Floor, keepSuffix: boolean): void {
    const at = this.entries.find((entry) => entry.index === floor.index);
    const differs = at !== undefined && at.term !== floor.term;
    if ((!keepSuffix || differs) && !mutant("wal-34-old-log-after-install")) this.truncate(logIndex(1));
    this.setFloor(floor);
  }
}
