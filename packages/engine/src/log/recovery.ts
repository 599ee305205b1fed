import type { GroupId } from "@trivet/core";
import { CodecError } from "@trivet/wire";
import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import { batchBodyIsGood, batchEnd, readBatchHead, readBatchRecords } from "./batch.ts";
import { Floors } from "./floors.ts";
import { GroupState } from "./group-state.ts";
import type { WalRecord } from "./record-format.ts";
import { segmentName } from "./segment.ts";
import type { Distrust, HeaderRead, SegmentHeader } from "./segment.ts";
import { allZero, judgeTail, laterBatches } from "./torn-tail.ts";
import type { WalFinding } from "./types.ts";

/** What recovery reads before it lets others have a turn: a node that starts answers, and tells how far it is. */
const batchesPerStep = 1024;
const bytesPerStep = 4 * 1024 * 1024;

/** One file of the log as recovery met it. */
export interface ChainLink {
  readonly sequence: number;
  readonly header: HeaderRead;
  /** Where the next segment says this one ends; null = the newest, which ends where its last good batch does. */
  readonly end: number | null;
}

/**
 * The segments that make up the log, oldest first: from the newest backwards along `follows`. What is not in the chain is void: a
 * deleted file that a crash brought back, or one behind a cut.
 */
export function chainOf(headers: ReadonlyMap<number, HeaderRead>): ChainLink[] {
  const chain: ChainLink[] = [];
  let sequence = Math.max(0, ...headers.keys());
  let end: number | null = null;
  for (;;) {
    const header = headers.get(sequence);
    if (header === undefined) return chain;
    chain.unshift({ sequence, header, end });
    if (header.type === "bad") {
      // Its predecessor is unknown; assume the usual one. That file counts as damaged wherever it does not read well.
      [sequence, end] = [sequence - 1, null];
    } else if (header.header.follows === null) {
      return chain;
    } else {
      ({ sequence, end } = header.header.follows);
    }
  }
}

/** Rebuilds the groups from the segments of the chain, fed in order. */
export class Replay {
  readonly states: Map<GroupId, GroupState> = new Map();
  readonly floors: Floors = new Floors();
  readonly findings: WalFinding[] = [];
  /** A bad place was met that is not a torn tail; the log is kept up to it (rule W6). */
  damaged: boolean = false;
  /** End of the log: of the newest segment, or before the first damaged place. Sequence 0 = nothing is kept. */
  end: { readonly sequence: number; readonly offset: number } = { sequence: 0, offset: 0 };
  /** Bytes of the newest segment from here to the end of the log were not known to be durable when the node stopped. */
  doubtfulFrom: number = 0;
  lastBatch: number = 0;
  /** The last batch says nothing that must not be lost. */
  endsMarked: boolean = true;
  private readonly directory: string;
  private readonly crypto: Crypto;

  constructor(directory: string, crypto: Crypto) {
    this.directory = directory;
    this.crypto = crypto;
  }

  /** In steps of a few milliseconds: drive it to its end. */
  *readSegment(link: ChainLink, bytes: Uint8Array): Generator<void> {
    this.floors.startSegment(link.sequence, bytes.length);
    if (link.header.type === "bad") {
      this.foundDamage(link.sequence, 0, link.header.detail);
      this.salvage(link.sequence, bytes, 0);
      return;
    }
    this.applyHeader(link.header.header);
    const start = link.header.bytes;
    if (this.damaged) {
      this.salvage(link.sequence, bytes, start - 1);
      return;
    }
    yield* this.readBatches(link, start, bytes);
  }

  /** To be called after the last segment. */
  finish(): void {
    for (const state of this.states.values()) {
      const hole = state.finish();
      // Nothing in the files is bad, so a file is missing.
      if (hole !== null) this.foundDamage(this.floors.oldest, 0, `a segment is missing: ${hole}`);
      const { group, hardState, commit, floor, lastIndex, lost, lostConfig } = state;
      this.floors.adopt({ group, hardState, commit, floor, last: lastIndex, lost, lostConfig });
    }
  }

  /** There is an identity, so there was a log, and it is gone (rule G5). */
  missing(): void {
    this.findings.push({ type: "corrupt", file: this.directory, offset: 0, detail: "the log is missing" });
    this.distrust("damage", `${this.directory}: the log is missing`);
  }

  private distrust(doubt: Distrust["doubt"], detail: string): void {
    this.floors.lose(doubt, detail, this.states.keys());
  }

  private foundDamage(sequence: number, offset: number, detail: string): void {
    const file = this.fileOf(sequence);
    this.findings.push({ type: "corrupt", file, offset, detail });
    if (this.damaged) return;
    this.damaged = true;
    this.distrust("damage", `${file} is damaged at ${offset}: ${detail}`);
  }

  private fileOf(sequence: number): string {
    return `${this.directory}/${segmentName(sequence)}`;
  }

  private applyHeader(header: SegmentHeader): void {
    for (const table of header.groups) this.state(table.group).applyTable(table, this.damaged);
    if (this.damaged) return;
    this.floors.distrust = header.distrust;
    // Behind a cut the numbers go on after the highest one that was ever seen.
    this.lastBatch = header.firstBatch - 1;
  }

  private *readBatches(link: ChainLink, start: number, bytes: Uint8Array): Generator<void> {
    const { sequence } = link;
    const limit = Math.min(bytes.length, link.end ?? bytes.length);
    let position = start;
    this.doubtfulFrom = start;
    this.endsMarked = true;
    let problem = "";
    let rested = start;
    for (let read = 0; position < limit; read++) {
      if (read >= batchesPerStep || position - rested >= bytesPerStep) {
        yield;
        [read, rested] = [0, position];
      }
      const head = readBatchHead(bytes, position, sequence, this.crypto);
      if (head === null || !batchBodyIsGood(bytes, head, this.crypto)) problem = "bad checksum of a batch";
      else if (head.number !== this.lastBatch + 1) problem = `batch ${head.number} follows batch ${this.lastBatch}`;
      else problem = this.applyBatch(() => readBatchRecords(bytes, head));
      if (problem !== "" || head === null) break;
      this.lastBatch = head.number;
      this.doubtfulFrom = head.durableTo;
      position = batchEnd(head);
    }
    this.end = { sequence, offset: position };
    if (link.end === null) {
      // Zeros are room for batches that never came (segment-room.ts).
      if (position < bytes.length && !allZero(bytes, position, bytes.length)) this.badTail(sequence, bytes, position, problem);
    } else if (position !== link.end) {
      this.foundDamage(sequence, position, problem === "" ? `the file ends; the next segment begins after ${link.end}` : problem);
      this.salvage(sequence, bytes, position);
    }
  }

  private badTail(sequence: number, bytes: Uint8Array, position: number, problem: string): void {
    const verdict = judgeTail(bytes, position, sequence, this.lastBatch, this.crypto);
    if (verdict.type === "rot") {
      this.foundDamage(sequence, position, problem);
      this.salvage(sequence, bytes, position);
      return;
    }
    const file = this.fileOf(sequence);
    const partialRecord = verdict.unfinished;
    this.findings.push({ type: "torn-tail", file, offset: position, bytes: bytes.length - position, partialRecord });
    if (!partialRecord) this.distrust("torn-tail", `the end of ${file} from ${position} on is damaged, and may have been acknowledged`);
  }

  private applyBatch(read: () => readonly WalRecord[]): string {
    try {
      this.endsMarked = true;
      for (const record of read()) {
        if (record.type !== "commit") this.endsMarked = false;
        const state = this.stateOf(record);
        const problem = state === null ? null : state.apply(record);
        if (problem !== null) return problem;
        if (record.type === "trust") this.trusted(record);
        this.floors.apply(record);
      }
      return "";
    } catch (error) {
      if (error instanceof CodecError) return `a batch that makes no sense: ${error.message}`;
      throw error;
    }
  }

  private trusted(record: Extract<WalRecord, { readonly type: "trust" }>): void {
    for (const state of this.states.values()) if (record.group === null || record.group === state.group) state.apply(record);
  }

  /** Beyond damage: terms, votes and floors must not be forgotten, or this node votes twice (rule W6). */
  private salvage(sequence: number, bytes: Uint8Array, position: number): void {
    for (const head of laterBatches(bytes, position, sequence, this.lastBatch, this.crypto)) {
      this.lastBatch = head.number;
      if (mutant("wal-no-salvage")) continue;
      try {
        for (const record of readBatchRecords(bytes, head)) this.stateOf(record)?.salvage(record);
      } catch (error) {
        if (!(error instanceof CodecError)) throw error;
        this.findings.push({ type: "corrupt", file: this.fileOf(sequence), offset: head.position, detail: error.message });
      }
    }
  }

  private stateOf(record: WalRecord): GroupState | null {
    switch (record.type) {
      case "floor":
      case "installed":
        return this.state(record.floor.group);
      case "trust":
        return null;
      case "hard-state":
      case "truncate":
      case "entries":
      case "commit":
      case "distrust":
        return this.state(record.group);
    }
  }

  private state(group: GroupId): GroupState {
    let state = this.states.get(group);
    if (state === undefined) {
      state = new GroupState(group);
      this.states.set(group, state);
    }
    return state;
  }
}
