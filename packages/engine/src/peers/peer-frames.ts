import { decodeRaftMessage, encodeRaftMessage, type GroupId, groupId, type NodeId, type RaftMessage } from "@trivet/core";
import {
  ByteReader,
  ByteWriter,
  CodecError,
  decodeHolderMessage,
  decodeHomeMessage,
  decodeTrace,
  encodeHolderMessage,
  encodeHomeMessage,
  encodeTrace,
  type HolderMessage,
  type HomeMessage,
  limits,
  type TraceContext,
} from "@trivet/wire";
import type { ReadyHint, WorkerAnswer } from "../shards/worker-protocol.ts";

/** Version of everything below; two nodes that differ refuse each other and say so. */
export const peerProtocol: number = 5;

/** What each end says of itself before anything else (rule G2, G5: identity by storage, never by port or name alone). */
export interface PeerHello {
  readonly protocol: number;
  /** Cluster id, "" while not founded. */
  readonly cluster: string;
  /** Id of a founding accepted but not yet known to be committed, "" = none. */
  readonly preparing: string;
  readonly node: string;
  readonly storage: string;
  /** Where this node wants to be reached. */
  readonly url: string;
  readonly roles: string;
  readonly shards: number;
  readonly nonce: string;
  /** Random per process: links of an earlier process of the same node are dead, whatever TCP says. */
  readonly incarnation: string;
  /** Applied index of group 0: whose node registry is newer (rule G5). */
  readonly applied: number;
  /** This end authenticates frames with SHARED_MAC_KEY. */
  readonly mac: boolean;
  /** The highest feature level that this end knows; null = a version from before there were levels. */
  readonly level: number | null;
}

export interface PeerRefusal {
  readonly code: "protocol" | "cluster" | "node" | "storage" | "mac" | "certificate" | "not-trusted" | "self" | "stopping" | "level";
  readonly detail: string;
}

const maxJsonBytes = 1024 * 1024;

const frameKinds = { hello: 1, welcome: 2, refuse: 3, batch: 4, proof: 5 } as const;

export type PeerFrame =
  | { readonly type: "hello"; readonly hello: PeerHello }
  | { readonly type: "welcome"; readonly hello: PeerHello }
  | { readonly type: "refuse"; readonly refusal: PeerRefusal }
  | { readonly type: "proof" }
  | { readonly type: "batch"; readonly groupTime: number; readonly messages: readonly PeerMessage[] };

const messageKinds = {
  raft: 1,
  forward: 2,
  "forward-refused": 3,
  call: 4,
  answer: 5,
  "forward-answer": 6,
  "shard-answers": 7,
  leads: 8,
  ready: 9,
  "to-home": 10,
  "to-holder": 11,
  "program-to-home": 12,
  "to-program": 13,
  traced: 14,
} as const;

/** Why a leader did not take a forwarded frame; by index on the wire, append only. */
const forwardRefusals = ["not_leader", "overloaded", "storage", "feature_level"] as const;
export type ForwardRefusal = (typeof forwardRefusals)[number];

/** One message inside a batch frame. */
export type PeerMessage =
  | PlainMessage
  /** The message, and the trace that it belongs to. Only to those who said that they read it (see TracedPeers): it came without a new number of the protocol. */
  | { readonly type: "traced"; readonly trace: TraceContext; readonly message: PlainMessage };

type PlainMessage =
  | { readonly type: "raft"; readonly group: GroupId; readonly message: RaftMessage }
  /** A command frame for the leader of `group`; no answer but through the log, or `forward-refused`. */
  | { readonly type: "forward"; readonly group: GroupId; readonly frame: Uint8Array }
  | {
      readonly type: "forward-refused";
      readonly group: GroupId;
      readonly caller: string;
      readonly firstSequence: number;
      readonly code: ForwardRefusal;
      readonly retryAfterMs: number;
    }
  /** Rare administrative questions between hosts, in JSON: joining, membership, keepalive batches. */
  | { readonly type: "call"; readonly id: number; readonly method: string; readonly json: string }
  | { readonly type: "answer"; readonly id: number; readonly json: string }
  /** As `forward`, from a node without a replica of the group: its answers are to be sent back. */
  | { readonly type: "forward-answer"; readonly group: GroupId; readonly frame: Uint8Array }
  | { readonly type: "shard-answers"; readonly group: GroupId; readonly answers: readonly WorkerAnswer[] }
  /** Shards that the sender leads, with their terms: for nodes without a replica. */
  | { readonly type: "leads"; readonly groups: readonly (readonly [group: GroupId, term: number])[] }
  /** See ReadySink: for nodes without a replica. */
  | { readonly type: "ready"; readonly hint: ReadyHint }
  /** Coherence of cached copies, of one shard: to its home, and to the holder at the receiver. */
  | { readonly type: "to-home"; readonly group: GroupId; readonly message: HolderMessage }
  | { readonly type: "to-holder"; readonly group: GroupId; readonly message: HomeMessage }
  /** The same of a program that is connected to the sender, and to one that may be connected to the receiver. */
  | { readonly type: "program-to-home"; readonly program: string; readonly group: GroupId; readonly message: HolderMessage }
  | { readonly type: "to-program"; readonly program: string; readonly group: GroupId; readonly message: HomeMessage };

const maxAnswerBytes = 4 * 1024 * 1024;

function writeHello(writer: ByteWriter, hello: PeerHello): void {
  writer.varint(hello.protocol);
  writer.string(hello.cluster);
  writer.string(hello.preparing);
  writer.string(hello.node);
  writer.string(hello.storage);
  writer.string(hello.url);
  writer.string(hello.roles);
  writer.varint(hello.shards);
  writer.string(hello.nonce);
  writer.string(hello.incarnation);
  writer.varint(hello.applied);
  writer.u8(hello.mac ? 1 : 0);
  // Versions before this one do not read on: what comes after is for who knows it.
  if (hello.level !== null) writer.varint(hello.level);
}

function readHello(reader: ByteReader): PeerHello {
  return {
    protocol: reader.varint(),
    cluster: reader.string(limits.maxUrlBytes),
    preparing: reader.string(limits.maxUrlBytes),
    node: reader.string(limits.maxUrlBytes),
    storage: reader.string(limits.maxUrlBytes),
    url: reader.string(limits.maxUrlBytes),
    roles: reader.string(limits.maxUrlBytes),
    shards: reader.varint(),
    nonce: reader.string(limits.maxUrlBytes),
    incarnation: reader.string(limits.maxUrlBytes),
    applied: reader.varint(),
    mac: reader.u8() === 1,
    level: reader.remaining > 0 ? reader.varint() : null,
  };
}

export function encodeHello(type: "hello" | "welcome", hello: PeerHello): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(frameKinds[type]);
  writeHello(writer, hello);
  return writer.finish();
}

export function encodeRefusal(refusal: PeerRefusal): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(frameKinds.refuse);
  writer.string(refusal.code);
  writer.string(refusal.detail);
  return writer.finish();
}

export function isRefusal(frame: Uint8Array): boolean {
  return frame[0] === frameKinds.refuse;
}

export function encodeProof(): Uint8Array {
  return Uint8Array.of(frameKinds.proof);
}

/** Starts a batch in `writer`; messages follow by `writePeerMessage`. `groupTime` 0 = the sender does not lead group 0. */
export function beginBatch(writer: ByteWriter, groupTime: number): void {
  writer.u8(frameKinds.batch);
  writer.varint(groupTime);
}

export function writePeerMessage(writer: ByteWriter, message: PeerMessage): void {
  writer.u8(messageKinds[message.type]);
  switch (message.type) {
    case "raft":
      writer.varint(message.group);
      encodeRaftMessage(writer, message.message);
      break;
    case "forward":
      writer.varint(message.group);
      writer.bytes(message.frame);
      break;
    case "forward-refused":
      writer.varint(message.group);
      writer.string(message.caller);
      writer.varint(message.firstSequence);
      writer.u8(forwardRefusals.indexOf(message.code));
      writer.varint(message.retryAfterMs);
      break;
    case "call":
      writer.varint(message.id);
      writer.string(message.method);
      writer.string(message.json);
      break;
    case "answer":
      writer.varint(message.id);
      writer.string(message.json);
      break;
    case "forward-answer":
      writer.varint(message.group);
      writer.bytes(message.frame);
      break;
    case "shard-answers":
      writer.varint(message.group);
      writer.varint(message.answers.length);
      for (const { caller, sequence, fingerprint, notAfter, bytes } of message.answers) {
        writer.string(caller);
        writer.varint(sequence);
        writer.string(fingerprint);
        writer.varint(notAfter);
        writer.bytes(bytes);
      }
      break;
    case "leads":
      writer.varint(message.groups.length);
      for (const [group, term] of message.groups) {
        writer.varint(group);
        writer.varint(term);
      }
      break;
    case "ready":
      writer.varint(message.hint.queue);
      writer.varint(message.hint.partition);
      writer.string(message.hint.group);
      break;
    case "to-home":
      writer.varint(message.group);
      encodeHolderMessage(writer, message.message);
      break;
    case "to-holder":
      writer.varint(message.group);
      encodeHomeMessage(writer, message.message);
      break;
    case "program-to-home":
      writer.string(message.program);
      writer.varint(message.group);
      encodeHolderMessage(writer, message.message);
      break;
    case "to-program":
      writer.string(message.program);
      writer.varint(message.group);
      encodeHomeMessage(writer, message.message);
      break;
    case "traced":
      encodeTrace(writer, message.trace);
      return writePeerMessage(writer, message.message);
  }
}

function readAnswer(reader: ByteReader): WorkerAnswer {
  return {
    caller: reader.string(limits.maxCallerBytes),
    sequence: reader.varint(),
    fingerprint: reader.string(limits.maxFingerprintBytes),
    notAfter: reader.varint(),
    bytes: reader.bytes(maxAnswerBytes),
  };
}

function readCount(reader: ByteReader): number {
  const count = reader.varint();
  // Everything counted takes at least a byte: a false count must not make us allocate.
  if (count > reader.remaining) throw new CodecError(`${count} items in ${reader.remaining} bytes`);
  return count;
}

function readPeerMessage(reader: ByteReader, from: NodeId, to: NodeId): PeerMessage {
  const kind = reader.u8();
  if (kind !== messageKinds.traced) return readPlainMessage(reader, kind, from, to);
  const trace = decodeTrace(reader);
  return { type: "traced", trace, message: readPlainMessage(reader, reader.u8(), from, to) };
}

function readPlainMessage(reader: ByteReader, kind: number, from: NodeId, to: NodeId): PlainMessage {
  switch (kind) {
    case messageKinds.raft:
      return { type: "raft", group: groupId(reader.varint()), message: decodeRaftMessage(reader, from, to) };
    case messageKinds.forward:
      return { type: "forward", group: groupId(reader.varint()), frame: reader.bytes(limits.maxFrameBytes) };
    case messageKinds["forward-refused"]:
      return {
        type: "forward-refused",
        group: groupId(reader.varint()),
        caller: reader.string(limits.maxUrlBytes),
        firstSequence: reader.varint(),
        code: forwardRefusals[reader.u8()] ?? "overloaded",
        retryAfterMs: reader.varint(),
      };
    case messageKinds.call:
      return { type: "call", id: reader.varint(), method: reader.string(limits.maxUrlBytes), json: reader.string(maxJsonBytes) };
    case messageKinds.answer:
      return { type: "answer", id: reader.varint(), json: reader.string(maxJsonBytes) };
    case messageKinds["forward-answer"]:
      return { type: "forward-answer", group: groupId(reader.varint()), frame: reader.bytes(limits.maxFrameBytes) };
    case messageKinds["shard-answers"]: {
      const group = groupId(reader.varint());
      return { type: "shard-answers", group, answers: Array.from({ length: readCount(reader) }, () => readAnswer(reader)) };
    }
    case messageKinds.leads:
      return {
        type: "leads",
        groups: Array.from({ length: readCount(reader) }, () => [groupId(reader.varint()), reader.varint()] as const),
      };
    case messageKinds.ready:
      return {
        type: "ready",
        hint: { queue: reader.varint(), partition: reader.varint(), group: reader.string(limits.maxKeyBytes) },
      };
    case messageKinds["to-home"]:
      return { type: "to-home", group: groupId(reader.varint()), message: decodeHolderMessage(reader) };
    case messageKinds["to-holder"]:
      return { type: "to-holder", group: groupId(reader.varint()), message: decodeHomeMessage(reader) };
    case messageKinds["program-to-home"]: {
      const [program, group] = [reader.string(limits.maxCallerBytes, 1), groupId(reader.varint())];
      return { type: "program-to-home", program, group, message: decodeHolderMessage(reader) };
    }
    case messageKinds["to-program"]: {
      const [program, group] = [reader.string(limits.maxCallerBytes, 1), groupId(reader.varint())];
      return { type: "to-program", program, group, message: decodeHomeMessage(reader) };
    }
    default:
      throw new RangeError(`unknown peer message kind ${kind}`);
  }
}

/** Decodes a frame of an authenticated or handshaking link. Throws CodecError or RangeError on anything malformed. */
export function decodePeerFrame(bytes: Uint8Array, from: NodeId, to: NodeId): PeerFrame {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  switch (kind) {
    case frameKinds.hello:
      return { type: "hello", hello: readHello(reader) };
    case frameKinds.welcome:
      return { type: "welcome", hello: readHello(reader) };
    case frameKinds.refuse:
      return {
        type: "refuse",
        refusal: { code: reader.string(limits.maxUrlBytes) as PeerRefusal["code"], detail: reader.string(limits.maxDetailBytes * 2) },
      };
    case frameKinds.proof:
      return { type: "proof" };
    case frameKinds.batch: {
      const groupTime = reader.varint();
      const messages: PeerMessage[] = [];
      while (reader.remaining > 0) messages.push(readPeerMessage(reader, from, to));
      return { type: "batch", groupTime, messages };
    }
    default:
      throw new RangeError(`unknown peer frame kind ${kind}`);
  }
}
