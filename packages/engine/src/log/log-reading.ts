import type { GroupId } from "@trivet/core";
import { CodecError } from "@trivet/wire";
import type { Crypto } from "../ports/crypto.ts";
import { batchBodyIsGood, batchEnd, readBatchHead, readBatchRecords } from "./batch.ts";
import type { GroupState } from "./group-state.ts";
import type { WalRecord } from "./record-format.ts";
import { chainOf, type ChainLink, Replay } from "./recovery.ts";
import { decodeSegmentHeader, type HeaderRead, maxHeaderBytes, segmentName, segmentSequence } from "./segment.ts";
import type { Doubt, WalFinding } from "./types.ts";

/** One batch of the log, in its place. */
export interface ReadBatch {
  readonly file: string;
  readonly offset: number;
  readonly number: number;
  readonly bytes: number;
  readonly records: readonly WalRecord[];
}
export interface ReadSegment {
  readonly file: string;
  readonly bytes: number;
  /** Its last good batch ends there; zeros behind it are room for more. */
  readonly end: number;
  readonly batches: number;
  readonly records: number;
}
export interface ReadGroup {
  readonly group: GroupId;
  readonly state: GroupState;
  readonly doubt: Doubt | null;
}

/**
 * A log that is looked at and not opened: nothing is written, cut or removed, and what recovery would find is told. Headers of all files
 * first, then the segments of the chain in their order, then `finish`.
 */
export class LogReading {
  private readonly directory: string;
  private readonly crypto: Crypto;
  private readonly headers = new Map<number, HeaderRead>();
  private readonly replay: Replay;

  constructor(directory: string, crypto: Crypto) {
    this.directory = directory;
    this.crypto = crypto;
    this.replay = new Replay(directory, crypto);
  }

  /** `bytes`: the first `headerBytes` of the file, or all. False for what is no segment by its name. */
  header(name: string, bytes: Uint8Array): boolean {
    const sequence = segmentSequence(name);
    if (sequence === null) return false;
    this.headers.set(sequence, decodeSegmentHeader(bytes, sequence, this.crypto));
    return true;
  }

  /** The files that make up the log, oldest first. */
  chain(): readonly (ChainLink & { readonly name: string })[] {
    return chainOf(this.headers).map((link) => ({ ...link, name: segmentName(link.sequence) }));
  }

  segment(link: ChainLink, bytes: Uint8Array, visit: (batch: ReadBatch) => void): ReadSegment {
    for (const _step of this.replay.readSegment(link, bytes)) {
      // Nobody else waits for a turn.
    }
    const file = `${this.directory}/${segmentName(link.sequence)}`;
    let [batches, records] = [0, 0];
    let end = link.header.type === "header" ? link.header.bytes : 0;
    const limit = Math.min(bytes.length, link.end ?? bytes.length);
    while (end < limit && link.header.type === "header") {
      const head = readBatchHead(bytes, end, link.sequence, this.crypto);
      if (head === null || !batchBodyIsGood(bytes, head, this.crypto)) break;
      const found = recordsOf(bytes, head);
      if (found === null) break;
      visit({ file, offset: end, number: head.number, bytes: batchEnd(head) - end, records: found });
      batches += 1;
      records += found.length;
      end = batchEnd(head);
    }
    return { file, bytes: bytes.length, end, batches, records };
  }

  finish(): { readonly findings: readonly WalFinding[]; readonly groups: readonly ReadGroup[]; readonly doubt: Doubt | null } {
    const { replay } = this;
    replay.finish();
    if (this.headers.size === 0) replay.missing();
    const groups = [...replay.states].map(([group, state]) => ({ group, state, doubt: replay.floors.doubt(group) }));
    return { findings: replay.findings, groups: groups.sort((a, b) => a.group - b.group), doubt: replay.floors.doubt(null) };
  }
}

/** So much of each file holds its header. */
export const headerBytes: number = maxHeaderBytes;

function recordsOf(bytes: Uint8Array, head: Parameters<typeof readBatchRecords>[1]): readonly WalRecord[] | null {
  try {
    return readBatchRecords(bytes, head);
  } catch (error) {
    if (error instanceof CodecError) return null;
    throw error;
  }
}
