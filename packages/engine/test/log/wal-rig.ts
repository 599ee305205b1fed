import { groupId, logIndex, nodeId, term } from "@trivet/core";
import type { Entry, GroupId, HardState, LogIndex, Membership, Prng } from "@trivet/core";
import { MemoryClock, MemoryCrypto, MemoryFiles, NullTelemetry, openWal } from "@trivet/engine";
import type { ClockView, FileFault, FileOperation, Floor, IoError, RecoveredGroup, WalApi, WalOpened } from "@trivet/engine";
import { expect } from "vitest";

export const membershipOf = (...names: string[]): Membership => ({
  voters: names.map(nodeId),
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
});

/** What a group's log should say. */
export interface GroupModel {
  readonly hardState: HardState;
  readonly floor: Floor | null;
  readonly entries: readonly Entry[];
}

/** State of every group after some number of operations. */
export type LogModel = ReadonlyMap<GroupId, GroupModel>;

export type LogOperation =
  | {
      readonly type: "write";
      readonly group: GroupId;
      readonly hardState: HardState | null;
      readonly truncateFrom: LogIndex;
      readonly append: readonly Entry[];
      readonly commit: LogIndex;
    }
  | { readonly type: "floor"; readonly floor: Floor }
  | { readonly type: "installed"; readonly floor: Floor; readonly keepSuffix: boolean };

const emptyGroup: GroupModel = { hardState: { term: term(0), vote: null }, floor: null, entries: [] };

export function lastOf(group: GroupModel): number {
  return group.entries.at(-1)?.index ?? group.floor?.index ?? 0;
}

export function applyToModel(model: LogModel, operation: LogOperation): LogModel {
  const group = operation.type === "write" ? operation.group : operation.floor.group;
  const before = model.get(group) ?? emptyGroup;
  return new Map(model).set(group, applyToGroup(before, operation));
}

function applyToGroup(before: GroupModel, operation: LogOperation): GroupModel {
  switch (operation.type) {
    case "write": {
      const from = operation.append[0]?.index ?? Number.MAX_SAFE_INTEGER;
      const cut = Math.min(from, operation.truncateFrom === 0 ? Number.MAX_SAFE_INTEGER : operation.truncateFrom);
      const kept = before.entries.filter((entry) => entry.index < cut);
      return { ...before, hardState: operation.hardState ?? before.hardState, entries: [...kept, ...operation.append] };
    }
    case "floor":
      return { ...before, floor: operation.floor, entries: before.entries.filter((entry) => entry.index >= operation.floor.keepFrom) };
    case "installed": {
      const { floor, keepSuffix } = operation;
      const agrees = keepSuffix && before.entries.some((entry) => entry.index === floor.index && entry.term === floor.term);
      return { ...before, floor, entries: agrees ? before.entries.filter((entry) => entry.index >= floor.keepFrom) : [] };
    }
  }
}

/** Invents operations that a correct Raft could ask for. */
export class OperationSource {
  private readonly prng: Prng;
  private readonly groups: readonly GroupId[];
  private stamp = 0;
  private readonly commits = new Map<GroupId, number>();

  constructor(prng: Prng, groups: number) {
    this.prng = prng;
    this.groups = Array.from({ length: groups }, (_, i) => groupId(i));
  }

  next(model: LogModel): LogOperation {
    const { prng } = this;
    const group = prng.pick(this.groups);
    const state = model.get(group) ?? emptyGroup;
    const last = lastOf(state);
    const floorIndex = state.floor?.index ?? 0;
    const commit = Math.max(this.commits.get(group) ?? 0, floorIndex);
    const roll = prng.next();
    if (roll < 0.1 && commit > floorIndex) {
      const index = prng.between(floorIndex + 1, commit);
      const at = state.entries.find((entry) => entry.index === index);
      if (at !== undefined)
        return { type: "floor", floor: this.floor(group, index, at.term, Math.max(state.entries[0]?.index ?? 1, index - prng.below(4))) };
    }
    if (roll < 0.14) return this.install(group, state, commit, last);
    const hardState = prng.chance(0.3) ? this.hardState(state) : null;
    const t = hardState?.term ?? state.hardState.term;
    const truncates = last > commit && prng.chance(0.2);
    const from = truncates ? prng.between(commit + 1, last) : last + 1;
    const explicit = truncates && prng.chance(0.5);
    const count = prng.chance(0.15) ? 0 : prng.between(1, 4);
    const append = Array.from({ length: count }, (_, i) => this.entry(from + i, Math.max(t, 1)));
    const newLast = count > 0 ? from + count - 1 : explicit ? from - 1 : last;
    const newCommit = prng.between(commit, Math.max(commit, newLast));
    this.commits.set(group, newCommit);
    return { type: "write", group, hardState, truncateFrom: logIndex(explicit ? from : 0), append, commit: logIndex(newCommit) };
  }

  /** After a crash: what was not recovered was not committed. */
  forget(model: LogModel): void {
    for (const [group, commit] of this.commits) this.commits.set(group, Math.min(commit, lastOf(model.get(group) ?? emptyGroup)));
  }

  private install(group: GroupId, state: GroupModel, commit: number, last: number): LogOperation {
    const { prng } = this;
    const index = prng.between(commit + 1, last + 5);
    const at = state.entries.find((entry) => entry.index === index);
    const keepSuffix = at !== undefined && prng.chance(0.5);
    const t = keepSuffix ? at.term : state.hardState.term + 1;
    this.commits.set(group, index);
    return { type: "installed", floor: this.floor(group, index, t, index + 1), keepSuffix };
  }

  private hardState(state: GroupModel): HardState {
    const { prng } = this;
    if (state.hardState.vote === null && prng.chance(0.5)) return { term: state.hardState.term, vote: nodeId(prng.pick(["a", "b", "c"])) };
    return { term: term(state.hardState.term + prng.between(1, 2)), vote: prng.chance(0.5) ? nodeId(prng.pick(["a", "b", "c"])) : null };
  }

  private floor(group: GroupId, index: number, t: number, keepFrom: number): Floor {
    const membership = membershipOf("a", "b", `n${this.prng.below(9)}`);
    return { group, index: logIndex(index), term: term(t), membership, membershipIndex: logIndex(0), keepFrom: logIndex(keepFrom) };
  }

  /** Payloads differ, and hold no zero byte, so that a lost sector always shows. */
  private entry(index: number, t: number): Entry {
    const size = this.prng.chance(0.1) ? this.prng.between(1000, 2500) : this.prng.below(60);
    const stamp = ++this.stamp;
    const payload = Uint8Array.from({ length: size }, (_, i) => ((stamp * 7 + i) % 255) + 1);
    return { index: logIndex(index), term: term(t), kind: this.prng.pick(["noop", "command", "config"]), payload };
  }
}

/** One disk, on which a log lives through several processes. */
export class WalRig {
  readonly clock = new MemoryClock();
  /** What the present process knows of the clock. */
  private life: ClockView = this.clock.view();
  readonly files: MemoryFiles;
  readonly segmentBytes: number;
  operations = 0;
  /** Called before every file operation. */
  fault: ((operation: FileOperation, number: number) => FileFault | null) | null = null;
  /** None, so that files end where the log does, unless a test asks for it. */
  roomBytes = 0;
  stopAt = Number.POSITIVE_INFINITY;
  fatals: IoError[] = [];

  constructor(segmentBytes = 2048, files?: MemoryFiles) {
    this.segmentBytes = segmentBytes;
    this.files = files ?? new MemoryFiles(this.clock);
    this.files.clock = this.life;
    this.files.options = {
      latencyMs: ({ type }) => (type === "write-durable" || type === "sync" ? 1 : 0),
      fault: (operation) => {
        this.operations++;
        return this.fault?.(operation, this.operations) ?? null;
      },
    };
  }

  /** The process is gone; what it was doing never continues. */
  private endLife(): void {
    this.life.kill();
    this.life = this.clock.view();
    this.files.clock = this.life;
  }

  powerLoss(prng: Prng): void {
    this.endLife();
    this.files.crash(prng);
  }

  kill(): void {
    this.endLife();
    this.files.endProcess();
  }

  /** Runs until nothing happens any more, or the file operation comes at which the process is to die. */
  run(): void {
    while (this.operations < this.stopAt && this.clock.step());
  }

  get dead(): boolean {
    return this.operations >= this.stopAt;
  }

  /** Null = it died meanwhile. */
  open(mustExist = false): WalOpened | null {
    let opened: WalOpened | null = null;
    openWal(
      { files: this.files, clock: this.life, crypto: new MemoryCrypto(), telemetry: new NullTelemetry() },
      { directory: "wal", segmentBytes: this.segmentBytes, roomBytes: this.roomBytes, mustExist },
      (error) => this.fatals.push(error),
      (error, result) => {
        if (error !== null) throw error;
        opened = result;
      },
    );
    this.run();
    return opened;
  }

  mustOpen(mustExist = false): WalOpened {
    const opened = this.open(mustExist);
    if (opened === null) throw new Error("the log did not open");
    return opened;
  }

  close(wal: WalApi): void {
    let closed = false;
    wal.close(() => {
      closed = true;
    });
    this.run();
    expect(closed).toBe(true);
    this.kill();
  }
}

export function ask(wal: WalApi, operation: LogOperation, durable: () => void): void {
  switch (operation.type) {
    case "write":
      return wal.write(operation, durable);
    case "floor":
      return wal.setFloor(operation.floor, durable);
    case "installed":
      return wal.installed(operation.floor, operation.keepSuffix, durable);
  }
}

/** A recovered log in the form of the model; commit hints are checked by `expectCommits`. */
export function modelOf(groups: ReadonlyMap<GroupId, RecoveredGroup>): LogModel {
  const model = new Map<GroupId, GroupModel>();
  for (const [group, { hardState, floor, entries }] of groups) model.set(group, { hardState, floor, entries });
  return model;
}

const checksums = new MemoryCrypto();

/** One line per group of which anything is known. Equal text = equal state. */
export function render(model: LogModel): string {
  const lines: [number, string][] = [];
  for (const [group, { hardState, floor, entries }] of model) {
    if (hardState.term === 0 && floor === null && entries.length === 0) continue;
    const floorText =
      floor === null ? "-" : `${floor.index}.${floor.term}>${floor.keepFrom}(${floor.membership.voters.join()})@${floor.membershipIndex}`;
    const entryText = entries.map(({ index, term, kind, payload }) => `${index}.${term}${kind[1]}${checksums.crc32(payload).toString(36)}`);
    lines.push([group, `${group}: ${hardState.term}/${hardState.vote ?? "-"} floor ${floorText} log ${entryText.join(" ")}`]);
  }
  return lines
    .sort(([a], [b]) => a - b)
    .map(([, line]) => line)
    .join("\n");
}

/** Without the entries that are kept only for peers that lag. */
export function aboveFloors(model: LogModel): LogModel {
  return new Map(
    [...model].map(([group, { hardState, floor, entries }]) => [
      group,
      { hardState, floor, entries: entries.filter(({ index }) => index > (floor?.index ?? 0)) },
    ]),
  );
}
