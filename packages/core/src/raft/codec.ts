import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import { assertNever } from "../kernel/assert.ts";
import { logIndex, nodeId, term } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import { raftLimits } from "../kernel/limits.ts";
import { membershipProblem } from "./membership.ts";
import { entryKinds, lostStates } from "./types.ts";
import type { Entry, EntryKind, KnownConfiguration, LostState, Membership, RaftMessage, SnapshotMeta } from "./types.ts";

/** Wire numbers of the messages. Append-only: old nodes talk to new ones during an upgrade. */
const messageTypes = {
  vote: 1,
  "vote-reply": 2,
  append: 3,
  "append-reply": 4,
  heartbeat: 5,
  "heartbeat-reply": 6,
  read: 7,
  "read-reply": 8,
  snapshot: 9,
  "snapshot-reply": 10,
  "timeout-now": 11,
  compare: 12,
  "compare-reply": 13,
} as const satisfies Record<RaftMessage["type"], number>;

const typeByNumber = new Map<number, RaftMessage["type"]>(
  (Object.keys(messageTypes) as RaftMessage["type"][]).map((type) => [messageTypes[type], type]),
);
const lostByNumber = new Map<number, LostState>((Object.keys(lostStates) as LostState[]).map((lost) => [lostStates[lost], lost]));
const kindByNumber = new Map<number, EntryKind>((Object.keys(entryKinds) as EntryKind[]).map((kind) => [entryKinds[kind], kind]));

/** Appends `message` without its `from` and `to`, which the connection implies. */
export function encodeRaftMessage(writer: ByteWriter, message: RaftMessage): void {
  writer.u8(messageTypes[message.type]);
  writer.varint(message.term);
  switch (message.type) {
    case "vote":
      writer.u8((message.pre ? 1 : 0) | (message.transfer ? 2 : 0));
      writer.varint(message.lastIndex);
      writer.varint(message.lastTerm);
      return;
    case "vote-reply":
      writer.u8((message.pre ? 1 : 0) | (message.granted ? 2 : 0));
      return;
    case "append":
      writer.varint(message.prevIndex);
      writer.varint(message.prevTerm);
      writer.varint(message.commit);
      writer.varint(message.entries.length);
      for (const entry of message.entries) encodeEntryBody(writer, entry);
      return;
    case "append-reply":
      writer.u8((message.rejected ? 1 : 0) | (message.recovering ? 2 : 0) | (message.awaiting ? 4 : 0));
      writer.varint(message.index);
      writer.varint(message.hintIndex);
      writer.varint(message.hintTerm);
      return;
    case "heartbeat":
      writer.varint(message.commit);
      writer.varint(message.match);
      writer.varint(message.round);
      return;
    case "heartbeat-reply":
      writer.u8(message.recovering ? 1 : 0);
      writer.varint(message.round);
      return;
    case "read":
      writer.u8((message.recovering ? 1 : 0) | (message.newcomer ? 2 : 0));
      writer.varint(message.context);
      return;
    case "read-reply":
      writer.u8((message.refused ? 1 : 0) | (message.recovering ? 2 : 0));
      writer.varint(message.context);
      writer.varint(message.index);
      return;
    case "snapshot":
      encodeSnapshotMeta(writer, message.meta);
      writer.u8(message.done ? 1 : 0);
      writer.varint(message.offset);
      writer.bytes(message.data);
      return;
    case "snapshot-reply":
      writer.string(message.id);
      writer.u8(message.installed ? 1 : 0);
      writer.varint(message.offset);
      writer.varint(message.index);
      return;
    case "timeout-now":
      return;
    case "compare":
      writer.u8(message.pre ? 1 : 0);
      writer.varint(message.context);
      return;
    case "compare-reply":
      writer.varint(message.context);
      writer.varint(message.lastIndex);
      writer.varint(message.lastTerm);
      writer.u8(lostStates[message.lost]);
      writer.varint(message.configurations.length);
      for (const { index, membership } of message.configurations) {
        writer.varint(index);
        encodeMembership(writer, membership);
      }
      return;
    default:
      assertNever(message);
  }
}

/**
 * Reads one message. Payloads and snapshot data are views into the reader's buffer, so that buffer must stay as it is.
 * Throws CodecError for anything `encodeRaftMessage` would not have written.
 */
export function decodeRaftMessage(reader: ByteReader, from: NodeId, to: NodeId): RaftMessage {
  const number = reader.u8();
  const type = typeByNumber.get(number);
  if (type === undefined) throw new CodecError(`unknown Raft message ${number}`);
  // Every case is one plain literal: spreading a shared envelope costs several times the rest of the decoding.
  const inTerm = readTerm(reader);
  switch (type) {
    case "vote": {
      const bits = flags(reader, 3);
      return {
        type,
        from,
        to,
        term: inTerm,
        pre: (bits & 1) !== 0,
        transfer: (bits & 2) !== 0,
        lastIndex: readIndex(reader),
        lastTerm: readTerm(reader),
      };
    }
    case "vote-reply": {
      const bits = flags(reader, 3);
      return { type, from, to, term: inTerm, pre: (bits & 1) !== 0, granted: (bits & 2) !== 0 };
    }
    case "append": {
      const prevIndex = readIndex(reader);
      const prevTerm = readTerm(reader);
      const commit = readIndex(reader);
      return { type, from, to, term: inTerm, prevIndex, prevTerm, commit, entries: readEntries(reader, prevIndex) };
    }
    case "append-reply": {
      const bits = flags(reader, 7);
      return {
        type,
        from,
        to,
        term: inTerm,
        rejected: (bits & 1) !== 0,
        recovering: (bits & 2) !== 0,
        awaiting: (bits & 4) !== 0,
        index: readIndex(reader),
        hintIndex: readIndex(reader),
        hintTerm: readTerm(reader),
      };
    }
    case "heartbeat":
      return { type, from, to, term: inTerm, commit: readIndex(reader), match: readIndex(reader), round: reader.varint() };
    case "heartbeat-reply":
      return { type, from, to, term: inTerm, recovering: flags(reader, 1) !== 0, round: reader.varint() };
    case "read": {
      const bits = flags(reader, 3);
      return { type, from, to, term: inTerm, recovering: (bits & 1) !== 0, newcomer: (bits & 2) !== 0, context: reader.varint() };
    }
    case "read-reply": {
      const bits = flags(reader, 3);
      const context = reader.varint();
      return { type, from, to, term: inTerm, refused: (bits & 1) !== 0, recovering: (bits & 2) !== 0, context, index: readIndex(reader) };
    }
    case "snapshot": {
      const meta = decodeSnapshotMeta(reader);
      const done = flags(reader, 1) !== 0;
      const offset = reader.varint();
      return { type, from, to, term: inTerm, meta, done, offset, data: reader.bytes(raftLimits.snapshotChunkBytes) };
    }
    case "snapshot-reply": {
      const id = reader.string(raftLimits.snapshotIdBytes);
      const installed = flags(reader, 1) !== 0;
      return { type, from, to, term: inTerm, id, installed, offset: reader.varint(), index: readIndex(reader) };
    }
    case "timeout-now":
      return { type, from, to, term: inTerm };
    case "compare":
      return { type, from, to, term: inTerm, pre: flags(reader, 1) !== 0, context: reader.varint() };
    case "compare-reply": {
      const context = reader.varint();
      const lastIndex = readIndex(reader);
      const lastTerm = readTerm(reader);
      return {
        type,
        from,
        to,
        term: inTerm,
        context,
        lastIndex,
        lastTerm,
        lost: readLost(reader),
        configurations: readConfigurations(reader),
      };
    }
    default:
      return assertNever(type);
  }
}

/** An entry without its index, which its place in a log or a message implies. */
export function encodeEntryBody(writer: ByteWriter, entry: Entry): void {
  writer.u8(entryKinds[entry.kind]);
  writer.varint(entry.term);
  writer.bytes(entry.payload);
}

/** The payload is a view into the reader's buffer. */
export function decodeEntryBody(reader: ByteReader, index: LogIndex): Entry {
  const number = reader.u8();
  const kind = kindByNumber.get(number);
  if (kind === undefined) throw new CodecError(`unknown entry kind ${number}`);
  const entryTerm = readTerm(reader);
  const payload = reader.bytes(raftLimits.entryBytes);
  // Config entries are interpreted the moment they are appended: refuse a bad one here, before it is in a log.
  if (kind === "config") decodeMembershipPayload(payload);
  return { index, term: entryTerm, kind, payload };
}

export function encodeMembership(writer: ByteWriter, membership: Membership): void {
  writer.u8(1);
  for (const ids of [membership.voters, membership.outgoing, membership.learners, membership.learnersNext]) {
    writer.varint(ids.length);
    for (const id of ids) writer.string(id);
  }
  writer.u8(membership.autoLeave ? 1 : 0);
}

/** Throws CodecError also for a configuration that breaks the rules of membershipProblem. */
export function decodeMembership(reader: ByteReader): Membership {
  const version = reader.u8();
  if (version !== 1) throw new CodecError(`unknown membership version ${version}`);
  const voters = readIds(reader);
  const outgoing = readIds(reader);
  const learners = readIds(reader);
  const learnersNext = readIds(reader);
  const membership = { voters, outgoing, learners, learnersNext, autoLeave: flags(reader, 1) !== 0 };
  const problem = membershipProblem(membership);
  if (problem !== null) throw new CodecError(`bad configuration: ${problem}`);
  return membership;
}

/** Payload of a `config` entry. */
export function encodeMembershipPayload(membership: Membership): Uint8Array {
  const writer = new ByteWriter(64);
  encodeMembership(writer, membership);
  return writer.finish();
}

export function decodeMembershipPayload(payload: Uint8Array): Membership {
  const reader = new ByteReader(payload);
  const membership = decodeMembership(reader);
  reader.expectEnd();
  return membership;
}

export function encodeSnapshotMeta(writer: ByteWriter, meta: SnapshotMeta): void {
  writer.string(meta.id);
  writer.varint(meta.index);
  writer.varint(meta.term);
  encodeMembership(writer, meta.membership);
  writer.varint(meta.membershipIndex);
  writer.varint(meta.bytes);
}

export function decodeSnapshotMeta(reader: ByteReader): SnapshotMeta {
  return {
    id: reader.string(raftLimits.snapshotIdBytes),
    index: readIndex(reader),
    term: readTerm(reader),
    membership: decodeMembership(reader),
    membershipIndex: readIndex(reader),
    bytes: reader.varint(),
  };
}

function readEntries(reader: ByteReader, prevIndex: LogIndex): readonly Entry[] {
  const count = reader.varint(raftLimits.entriesPerAppend);
  const entries: Entry[] = [];
  for (let i = 1; i <= count; i++) entries.push(decodeEntryBody(reader, logIndex(prevIndex + i)));
  return entries;
}

function readLost(reader: ByteReader): LostState {
  const number = reader.u8();
  const lost = lostByNumber.get(number);
  if (lost === undefined) throw new CodecError(`unknown loss ${number}`);
  return lost;
}

function readConfigurations(reader: ByteReader): readonly KnownConfiguration[] {
  const count = reader.varint(raftLimits.knownConfigurations);
  const configurations: KnownConfiguration[] = [];
  for (let i = 0; i < count; i++) configurations.push({ index: readIndex(reader), membership: decodeMembership(reader) });
  return configurations;
}

function readIds(reader: ByteReader): readonly NodeId[] {
  const count = reader.varint(raftLimits.members);
  const ids: NodeId[] = [];
  for (let i = 0; i < count; i++) ids.push(nodeId(reader.string(raftLimits.nodeIdBytes, 1)));
  return ids;
}

function flags(reader: ByteReader, allowed: number): number {
  const bits = reader.u8();
  if ((bits & ~allowed) !== 0) throw new CodecError(`unknown flags ${bits}`);
  return bits;
}

function readIndex(reader: ByteReader): LogIndex {
  return logIndex(reader.varint());
}

function readTerm(reader: ByteReader): Term {
  return term(reader.varint());
}
