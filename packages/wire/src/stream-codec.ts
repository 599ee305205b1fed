import { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeIdentity, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import type { Result } from "./results.ts";
import {
  type ClientFrame,
  type PlainClientFrame,
  type Results,
  type ServerFrame,
  type Welcome,
  clientFrameNumbers,
  closingCodes,
  queueStreamProtocol,
  serverFrameNumbers,
  sessionEvents,
} from "./stream-frames.ts";
import {
  decodeCacheClientFields,
  decodeCacheServerFields,
  encodeCacheClientFields,
  encodeCacheServerFields,
} from "./stream-cache-codec.ts";
import {
  decodeQueueClientFields,
  decodeQueueServerFields,
  decodeShardResults,
  encodeQueueClientFields,
  encodeQueueServerFields,
  encodeShardCommandsFrame,
  encodeShardResults,
} from "./stream-queue-codec.ts";
import { decodeRefusedFields, encodeRefusedFields } from "./stream-refused.ts";
import { ResultsBuilder, ResultsCursor } from "./stream-results.ts";
import { decodeTracedFields, encodeTracedFrame } from "./stream-traced-codec.ts";
import { decodeQueueSettings, encodeQueueSettings } from "./system-queue-codec.ts";
import { clipText } from "./text.ts";

/** Encodes one frame of the client. */
export function encodeClientFrame(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  if (frame.type === "commands") return encodeCommandsFrame(frame.frame);
  if (frame.type === "shard-commands") return encodeShardCommandsFrame(frame.group, frame.frame);
  if (frame.type === "traced") return encodeTracedFrame(frame.traces, encodeClientFrame(frame.frame));
  const writer = new ByteWriter(128);
  writer.u8(clientFrameNumbers[frame.type]);
  switch (frame.type) {
    case "hello":
      writer.varint(frame.protocol);
      writer.string(frame.caller);
      writer.string(clipText(frame.label, limits.maxIdentityBytes));
      writer.varint(frame.session);
      break;
    case "keep-alive":
      writer.varint(frame.batch);
      writeNumbers(writer, frame.sessions);
      break;
    case "ping":
      writer.varint(frame.nonce);
      break;
    case "resolve-queue":
    case "await-queue":
    case "watch-queue":
    case "consumer-begun":
      encodeQueueClientFields(writer, frame);
      break;
    case "to-homes":
    case "resolve-namespace":
    case "invalidate-cache":
    case "load-cached":
      encodeCacheClientFields(writer, frame);
      break;
  }
  return writer.finish();
}

/** A command frame as a message: the hot path of a client. */
export function encodeCommandsFrame(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(1 + frame.length);
  message[0] = clientFrameNumbers.commands;
  message.set(frame, 1);
  return message;
}

/** Decodes one frame of a client; command frames are views and not yet checked (see `checkFrame`). Throws CodecError. */
export function decodeClientFrame(bytes: Uint8Array): ClientFrame {
  if (bytes[0] !== clientFrameNumbers.traced) return decodePlainFrame(bytes);
  const { frame, traces } = decodeTracedFields(new ByteReader(bytes, 1), bytes);
  return { type: "traced", traces, frame: decodePlainFrame(frame) };
}

function decodePlainFrame(bytes: Uint8Array): PlainClientFrame {
  const reader = new ByteReader(bytes);
  const number = reader.u8();
  if (number === clientFrameNumbers.commands) return { type: "commands", frame: bytes.subarray(1) };
  if (number === clientFrameNumbers["shard-commands"]) {
    const group = reader.varint(limits.maxShards);
    return { type: "shard-commands", group, frame: bytes.subarray(reader.position) };
  }
  const frame = decodeClientFields(reader, number);
  reader.expectEnd();
  return frame;
}

function decodeClientFields(reader: ByteReader, number: number): PlainClientFrame {
  switch (number) {
    case clientFrameNumbers.hello:
      return {
        type: "hello",
        protocol: reader.varint(),
        caller: reader.string(limits.maxCallerBytes),
        label: decodeIdentity(reader),
        session: reader.varint(),
      };
    case clientFrameNumbers["keep-alive"]:
      return { type: "keep-alive", batch: reader.varint(), sessions: readNumbers(reader) };
    case clientFrameNumbers.ping:
      return { type: "ping", nonce: reader.varint() };
    default:
      return decodeCacheClientFields(reader, number) ?? decodeQueueClientFields(reader, number);
  }
}

/** Encodes one frame of a node. Results in bulk are better built with `ResultsBuilder`. */
export function encodeServerFrame(frame: ServerFrame): Uint8Array<ArrayBuffer> {
  if (frame.type === "results") return encodeResults(frame);
  if (frame.type === "shard-results") return encodeShardResults(frame);
  const writer = new ByteWriter(128);
  writer.u8(serverFrameNumbers[frame.type]);
  switch (frame.type) {
    case "welcome":
      encodeWelcome(writer, frame);
      break;
    case "keep-alive-answer":
      writer.varint(frame.batch);
      writer.varint(frame.groupTime);
      writeNumbers(writer, frame.alive);
      writeNumbers(writer, frame.lost);
      break;
    case "refused":
      encodeRefusedFields(writer, frame);
      break;
    case "leader-changed":
      writer.string(frame.leader);
      writer.string(frame.leaderUrl);
      writer.varint(frame.term);
      break;
    case "session-event":
      writer.varint(frame.session);
      writer.u8(sessionEvents.indexOf(frame.event));
      break;
    case "closing":
      writer.u8(closingCodes.indexOf(frame.code));
      writer.string(clipText(frame.detail, limits.maxDetailBytes));
      break;
    case "pong":
      writer.varint(frame.nonce);
      writer.varint(frame.groupTime);
      break;
    case "shard-refused":
    case "queue-resolved":
    case "queue-ready":
      encodeQueueServerFields(writer, frame);
      break;
    case "to-holders":
    case "namespace-resolved":
    case "cache-invalidated":
    case "cache-loaded":
      encodeCacheServerFields(writer, frame);
      break;
  }
  return writer.finish();
}

/** Decodes one frame of a node. Throws CodecError. */
export function decodeServerFrame(bytes: Uint8Array): ServerFrame {
  const reader = new ByteReader(bytes);
  const number = reader.u8();
  if (number === serverFrameNumbers.results) return decodeResults(bytes);
  if (number === serverFrameNumbers["shard-results"]) return decodeShardResults(bytes);
  const frame = decodeServerFields(reader, number);
  reader.expectEnd();
  return frame;
}

function decodeServerFields(reader: ByteReader, number: number): ServerFrame {
  switch (number) {
    case serverFrameNumbers.welcome:
      return decodeWelcome(reader);
    case serverFrameNumbers["keep-alive-answer"]:
      return {
        type: "keep-alive-answer",
        batch: reader.varint(),
        groupTime: reader.varint(),
        alive: readNumbers(reader),
        lost: readNumbers(reader),
      };
    case serverFrameNumbers.refused:
      return { type: "refused", ...decodeRefusedFields(reader) };
    case serverFrameNumbers["leader-changed"]:
      return { type: "leader-changed", leader: decodeIdentity(reader), leaderUrl: decodeUrl(reader), term: reader.varint() };
    case serverFrameNumbers["session-event"]:
      return { type: "session-event", session: reader.varint(), event: decodeIndexed(reader, sessionEvents, "session event") };
    case serverFrameNumbers.closing:
      return { type: "closing", code: decodeIndexed(reader, closingCodes, "closing code"), detail: reader.string(limits.maxDetailBytes) };
    case serverFrameNumbers.pong:
      return { type: "pong", nonce: reader.varint(), groupTime: reader.varint() };
    default:
      return decodeCacheServerFields(reader, number) ?? decodeQueueServerFields(reader, number);
  }
}

function encodeWelcome(writer: ByteWriter, frame: Welcome): void {
  writer.varint(frame.protocol);
  writer.string(frame.cluster);
  writer.string(frame.node);
  writer.string(frame.leader);
  writer.string(frame.leaderUrl);
  writer.varint(frame.term);
  writer.varint(frame.groupTime);
  writer.varint(frame.callerWindow);
  writer.varint(frame.maxFrameBytes);
  writer.varint(frame.maxCommandsPerFrame);
  if (frame.protocol >= queueStreamProtocol) encodeQueueSettings(writer, frame.queueDefaults);
}

function decodeWelcome(reader: ByteReader): Welcome {
  const protocol = reader.varint();
  return {
    type: "welcome",
    protocol,
    cluster: decodeIdentity(reader),
    node: decodeIdentity(reader),
    leader: decodeIdentity(reader),
    leaderUrl: decodeUrl(reader),
    term: reader.varint(),
    groupTime: reader.varint(),
    callerWindow: reader.varint(),
    maxFrameBytes: reader.varint(),
    maxCommandsPerFrame: reader.varint(),
    queueDefaults: protocol >= queueStreamProtocol ? decodeQueueSettings(reader) : {},
  };
}

function decodeUrl(reader: ByteReader): string {
  return reader.string(limits.maxUrlBytes);
}

function writeNumbers(writer: ByteWriter, numbers: readonly number[]): void {
  writer.varint(numbers.length);
  for (const number of numbers) writer.varint(number);
}

function readNumbers(reader: ByteReader): readonly number[] {
  const count = reader.varint(limits.maxSessionsPerKeepAlive);
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) numbers.push(reader.varint());
  return numbers;
}

function encodeResults(frame: Results): Uint8Array<ArrayBuffer> {
  const builder = new ResultsBuilder();
  builder.begin(frame.caller);
  for (const { sequence, result } of frame.results) builder.add(sequence, result);
  return builder.finish();
}

function decodeResults(bytes: Uint8Array): Results {
  const cursor = new ResultsCursor();
  cursor.open(bytes);
  const results: { sequence: number; result: Result }[] = [];
  for (let result = cursor.next(); result !== null; result = cursor.next()) results.push({ sequence: cursor.sequence, result });
  return { type: "results", caller: cursor.caller, results };
}
