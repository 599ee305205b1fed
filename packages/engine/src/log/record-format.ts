import type { Entry, EntryKind, GroupId, HardState, LogIndex, Membership, NodeId } from "@trivet/core";
import { entryKinds, groupId, logIndex, nodeId, term } from "@trivet/core";
import { CodecError } from "@trivet/wire";
import type { ByteReader, ByteWriter } from "@trivet/wire";
import { logLimits } from "./limits.ts";
import type { Floor } from "./types.ts";

/**
 * What one batch of the log says, in order. Records of all groups share a batch (group commit). Wire numbers are append-only:
 * a log written by an older version must stay readable.
 */
export type WalRecord =
  /** Term and vote in one record: they can never be torn apart (mutant 3). */
  | { readonly type: "hard-state"; readonly group: GroupId; readonly hardState: HardState }
  | { readonly type: "truncate"; readonly group: GroupId; readonly from: LogIndex }
  /** Contiguous; overwrites what the group had from the first index on. Never empty. */
  | { readonly type: "entries"; readonly group: GroupId; readonly entries: readonly Entry[] }
  | { readonly type: "commit"; readonly group: GroupId; readonly commit: LogIndex }
  | { readonly type: "floor"; readonly floor: Floor }
  | { readonly type: "installed"; readonly floor: Floor; readonly keepSuffix: boolean }
  /** Null = every group. */
  | { readonly type: "trust"; readonly group: GroupId | null }
  /** What this node has of the group, log and snapshots together, is less than it may have acknowledged (rule W6). */
  | { readonly type: "distrust"; readonly group: GroupId; readonly detail: string };

const recordTypes = { "hard-state": 1, truncate: 2, entries: 3, commit: 4, floor: 5, installed: 6, trust: 7, distrust: 8 } as const;

const kindOfNumber: ReadonlyMap<number, EntryKind> = new Map(
  Object.entries(entryKinds).map(([kind, number]) => [number, kind as EntryKind]),
);

/** Appends a record. Payloads of entries are not copied here: they follow the records, in order (see batch.ts). */
export function writeRecord(out: ByteWriter, record: WalRecord): void {
  out.u8(recordTypes[record.type]);
  switch (record.type) {
    case "hard-state":
      out.varint(record.group);
      writeHardState(out, record.hardState);
      return;
    case "truncate":
      out.varint(record.group);
      out.varint(record.from);
      return;
    case "entries":
      out.varint(record.group);
      writeEntryHeads(out, record.entries);
      return;
    case "commit":
      out.varint(record.group);
      out.varint(record.commit);
      return;
    case "floor":
      writeFloor(out, record.floor);
      return;
    case "installed":
      writeFloor(out, record.floor);
      out.u8(record.keepSuffix ? 1 : 0);
      return;
    case "trust":
      out.varint(record.group === null ? 0 : record.group + 1);
      return;
    case "distrust":
      out.varint(record.group);
      out.string(record.detail);
      return;
  }
}

/** Reads one record; payloads are copied out of `payloads`, so that an entry does not keep its whole segment in memory. */
export function readRecord(input: ByteReader, payloads: ByteReader): WalRecord {
  const type = input.u8();
  switch (type) {
    case recordTypes["hard-state"]:
      return { type: "hard-state", group: readGroup(input), hardState: readHardState(input) };
    case recordTypes.truncate:
      return { type: "truncate", group: readGroup(input), from: logIndex(input.varint()) };
    case recordTypes.entries:
      return { type: "entries", group: readGroup(input), entries: readEntries(input, payloads) };
    case recordTypes.commit:
      return { type: "commit", group: readGroup(input), commit: logIndex(input.varint()) };
    case recordTypes.floor:
      return { type: "floor", floor: readFloor(input) };
    case recordTypes.installed: {
      const floor = readFloor(input);
      return { type: "installed", floor, keepSuffix: readFlag(input) };
    }
    case recordTypes.trust: {
      const group = input.varint();
      return { type: "trust", group: group === 0 ? null : groupId(group - 1) };
    }
    case recordTypes.distrust:
      return { type: "distrust", group: readGroup(input), detail: input.string(Number.MAX_SAFE_INTEGER) };
    default:
      throw new CodecError(`unknown record type ${type}`);
  }
}

export function writeHardState(out: ByteWriter, hardState: HardState): void {
  out.varint(hardState.term);
  out.string(hardState.vote ?? "");
}

export function readHardState(input: ByteReader): HardState {
  const current = term(input.varint());
  const vote = input.string(logLimits.maxNodeIdBytes);
  return { term: current, vote: vote === "" ? null : nodeId(vote) };
}

export function writeFloor(out: ByteWriter, floor: Floor): void {
  out.varint(floor.group);
  out.varint(floor.index);
  out.varint(floor.term);
  out.varint(floor.membershipIndex);
  out.varint(floor.keepFrom);
  writeMembership(out, floor.membership);
}

export function readFloor(input: ByteReader): Floor {
  const group = readGroup(input);
  const index = logIndex(input.varint());
  const floorTerm = term(input.varint());
  const membershipIndex = logIndex(input.varint());
  const keepFrom = logIndex(input.varint());
  return { group, index, term: floorTerm, membershipIndex, keepFrom, membership: readMembership(input) };
}

export function writeMembership(out: ByteWriter, membership: Membership): void {
  for (const list of [membership.voters, membership.outgoing, membership.learners, membership.learnersNext]) {
    out.varint(list.length);
    for (const node of list) out.string(node);
  }
  out.u8(membership.autoLeave ? 1 : 0);
}

export function readMembership(input: ByteReader): Membership {
  const list = (): NodeId[] => {
    const nodes: NodeId[] = [];
    for (let left = input.varint(logLimits.maxMembers); left > 0; left--) nodes.push(nodeId(input.string(logLimits.maxNodeIdBytes, 1)));
    return nodes;
  };
  const [voters, outgoing, learners, learnersNext] = [list(), list(), list(), list()];
  return { voters, outgoing, learners, learnersNext, autoLeave: readFlag(input) };
}

export function readFlag(input: ByteReader): boolean {
  const value = input.u8();
  if (value > 1) throw new CodecError(`not a flag: ${value}`);
  return value === 1;
}

export function readGroup(input: ByteReader): GroupId {
  return groupId(input.varint(0xffff_ffff));
}

function writeEntryHeads(out: ByteWriter, entries: readonly Entry[]): void {
  out.varint(entries[0]?.index ?? 0);
  out.varint(entries.length);
  for (const entry of entries) {
    out.varint(entry.term);
    out.u8(entryKinds[entry.kind]);
    out.varint(entry.payload.length);
  }
}

function readEntries(input: ByteReader, payloads: ByteReader): Entry[] {
  const first = input.varint();
  const entries: Entry[] = [];
  for (let left = input.varint(), index = first; left > 0; left--, index++) {
    const entryTerm = term(input.varint());
    const kind = kindOfNumber.get(input.u8());
    if (kind === undefined) throw new CodecError("unknown kind of entry");
    const payload = new Uint8Array(payloads.raw(input.varint()));
    entries.push({ index: logIndex(index), term: entryTerm, kind, payload });
  }
  if (entries.length === 0) throw new CodecError("a record of no entries");
  return entries;
}
