import { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { decodeCommand, encodeCommand } from "./command-codec.ts";
import { type Command, commandNumbers } from "./commands.ts";
import { featureLevels, levelOfCommand } from "./feature-levels.ts";
import { limits } from "./limits.ts";
import { decodeShardCommand, encodeShardCommand } from "./queue-command-codec.ts";
import { type ShardCommand, isShardCommand } from "./queue-commands.ts";

/** First byte of every command frame. A change of the layout or of a command's fields takes a new number. */
export const commandFrameVersion = 1;
/** The same layout, of an ordered producer (rule X4). */
const orderedFrameVersion = 2;

/**
 * What one caller asks in one go: commands with consecutive sequence numbers (docs/decisions/0002-hot-path.md). The same bytes
 * travel from the caller to apply, so a retry is byte for byte the same frame.
 */
export interface FrameHeader {
  readonly caller: string;
  /** Of the request body, where the caller is an idempotency key (rule X2); else empty. */
  readonly fingerprint: string;
  /** Group time after which apply refuses the commands (rule X1). */
  readonly notAfter: number;
  /** Every sequence up to here is answered: the dedupe table may forget the answers. */
  readonly ackedUpTo: number;
  readonly firstSequence: number;
  readonly count: number;
  /** Rule X4: a shard executes a command of it only once the caller's command before it is answered, or acknowledged. */
  readonly ordered: boolean;
  /** Where the first command's length stands, counted from the start of the buffer. */
  readonly bodyStart: number;
}

/** A frame that was checked. `level`: the feature level that all its commands need. */
export interface CheckedFrame extends FrameHeader {
  readonly level: number;
  /** It has anchors of audit logs and nothing else: a leader whose disk is low still takes it (decision 0036). */
  readonly isAnchors: boolean;
}

/** Builds command frames. Reusable; `notAfter`, `ackedUpTo` and `ordered` may still change until `finish`. */
export class CommandFrameBuilder {
  notAfter = 0;
  ackedUpTo = 0;
  ordered = false;
  private caller = "";
  private fingerprint = "";
  private firstSequence = 0;
  private commands = 0;
  private readonly body = new ByteWriter(1024);
  private readonly header = new ByteWriter(128);

  begin(caller: string, fingerprint: string, notAfter: number, ackedUpTo: number, firstSequence: number): void {
    this.caller = caller;
    this.fingerprint = fingerprint;
    this.notAfter = notAfter;
    this.ackedUpTo = ackedUpTo;
    this.firstSequence = firstSequence;
    this.ordered = false;
    this.commands = 0;
    this.body.reset();
  }

  /** Appends a command. When it throws CodecError, the frame is as before. */
  add(command: Command | ShardCommand): void {
    const { body } = this;
    const before = body.length;
    try {
      const start = body.openLength();
      if (isShardCommand(command)) encodeShardCommand(body, command);
      else encodeCommand(body, command);
      body.closeLength(start);
      if (body.length > limits.maxFrameBytes - maxHeaderBytes) throw new CodecError("the frame has no room for this command");
    } catch (error) {
      body.truncate(before);
      throw error;
    }
    this.commands++;
  }

  get count(): number {
    return this.commands;
  }

  /** Bytes of the commands so far; the header adds at most `maxHeaderBytes`. */
  get byteLength(): number {
    return this.body.length;
  }

  /** The frame, yours to keep. */
  finish(): Uint8Array<ArrayBuffer> {
    const { header, body } = this;
    header.reset();
    writeHeader(header, {
      caller: this.caller,
      fingerprint: this.fingerprint,
      notAfter: this.notAfter,
      ackedUpTo: this.ackedUpTo,
      firstSequence: this.firstSequence,
      count: this.commands,
      ordered: this.ordered,
    });
    return joined(header, body.view());
  }
}

function writeHeader(writer: ByteWriter, header: Omit<FrameHeader, "bodyStart">): void {
  writer.u8(header.ordered ? orderedFrameVersion : commandFrameVersion);
  writer.string(header.caller);
  writer.string(header.fingerprint);
  writer.varint(header.notAfter);
  writer.varint(header.ackedUpTo);
  writer.varint(header.firstSequence);
  writer.varint(header.count);
}

function joined(header: ByteWriter, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(header.length + body.length);
  frame.set(header.view());
  frame.set(body, header.length);
  return frame;
}

/** The same commands from a caller that has more answers by now. Throws CodecError. */
export function withAcknowledged(frame: Uint8Array, ackedUpTo: number): Uint8Array<ArrayBuffer> {
  const header = readFrameHeader(frame);
  const writer = new ByteWriter(128);
  writeHeader(writer, { ...header, ackedUpTo });
  return joined(writer, frame.subarray(header.bodyStart));
}

/** The same frame for those who know of no order; the frame itself where it has none. */
export function withoutOrder(frame: Uint8Array): Uint8Array {
  if (frame[0] !== orderedFrameVersion) return frame;
  const plain = frame.slice();
  plain[0] = commandFrameVersion;
  return plain;
}

/** The most a frame's header can take, so that a builder knows when to stop. */
export const maxHeaderBytes: number = 1 + 1 + limits.maxCallerBytes + 2 + limits.maxFingerprintBytes + 8 + 8 + 8 + 2;

/** One frame of a single command, for callers that are used once (idempotency keys, the node's own commands). */
export function encodeSingleCommandFrame(
  caller: string,
  fingerprint: string,
  notAfter: number,
  command: Command | ShardCommand,
): Uint8Array<ArrayBuffer> {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, fingerprint, notAfter, 0, 1);
  builder.add(command);
  return builder.finish();
}

/** Reads the header of the frame in [start, end) of `bytes`. Throws CodecError. */
export function readFrameHeader(bytes: Uint8Array, start = 0, end: number = bytes.length): FrameHeader {
  return readHeader(new ByteReader(bytes, start, end), 0);
}

/**
 * Checks a frame before it is accepted from a caller: header, limits, and that the lengths of its commands add up. The commands
 * themselves are judged by apply, one by one. An empty caller marks a leader's own proposals (expiry, node registry), which skip
 * the dedupe table; nobody else may send one. Throws CodecError.
 */
export function checkFrame(frame: Uint8Array): CheckedFrame {
  if (frame.length > limits.maxFrameBytes) throw new CodecError(`a frame of ${frame.length} bytes; at most ${limits.maxFrameBytes}`);
  return checkCommands(frame, 1);
}

/** The feature level of a frame, also of a leader's own. Throws CodecError. */
export function levelOfFrame(frame: Uint8Array): number {
  return checkCommands(frame, 0).level;
}

function checkCommands(frame: Uint8Array, minCallerBytes: number): CheckedFrame {
  const reader = new ByteReader(frame);
  const header = readHeader(reader, minCallerBytes);
  let level = header.ordered ? featureLevels.ordered : 0;
  let isAnchors = true;
  for (let i = 0; i < header.count; i++) {
    const length = reader.varint();
    if (length === 0) throw new CodecError("an empty command");
    const number = reader.u8();
    level = Math.max(level, levelOfCommand(number));
    isAnchors &&= number === commandNumbers["anchor-audit"];
    reader.skip(length - 1);
  }
  reader.expectEnd();
  return { ...header, level, isAnchors };
}

function readHeader(reader: ByteReader, minCallerBytes: number): FrameHeader {
  const version = reader.u8();
  const ordered = version === orderedFrameVersion;
  if (version !== commandFrameVersion && !ordered)
    throw new CodecError(`version ${version} of a command frame; this is ${orderedFrameVersion}`);
  const caller = reader.string(limits.maxCallerBytes, minCallerBytes);
  const fingerprint = reader.string(limits.maxFingerprintBytes);
  const notAfter = reader.varint();
  const ackedUpTo = reader.varint();
  const firstSequence = reader.varint();
  const count = reader.varint();
  if (count < 1 || count > limits.maxCommandsPerFrame) throw new CodecError(`${count} commands in one frame`);
  if (firstSequence <= ackedUpTo) throw new CodecError(`sequence ${firstSequence} is already acknowledged`);
  if (firstSequence > Number.MAX_SAFE_INTEGER - (count - 1)) throw new CodecError("sequences above 2^53");
  return { caller, fingerprint, notAfter, ackedUpTo, firstSequence, count, ordered, bodyStart: reader.position };
}

/**
 * Walks the commands of a frame without allocating per command. A command that cannot be decoded does not disturb the ones after it,
 * because each is bounded by its own length.
 */
export class FrameCursor {
  /** Positioned at the current command and limited to it. */
  readonly command: ByteReader = new ByteReader();
  /** Sequence of the current command. */
  sequence = 0;
  private readonly frame: ByteReader = new ByteReader();
  private bytes: Uint8Array = noBytes;
  private left = 0;
  private broken = false;

  /** Starts over on the frame in [start, end) of `bytes`. Throws CodecError when the header is not one. */
  open(bytes: Uint8Array, start = 0, end: number = bytes.length): FrameHeader {
    this.left = 0;
    this.broken = false;
    this.bytes = bytes;
    this.frame.reset(bytes, start, end);
    const header = readHeader(this.frame, 0);
    this.left = header.count;
    this.sequence = header.firstSequence - 1;
    return header;
  }

  /** Moves to the next command; false after the last one, or when the lengths do not add up (see `damaged`). */
  next(): boolean {
    if (this.left === 0) return false;
    const { frame } = this;
    try {
      const length = frame.varint();
      const start = frame.position;
      frame.skip(length);
      this.command.reset(this.bytes, start, frame.position);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.left = 0;
      this.broken = true;
      return false;
    }
    this.left--;
    this.sequence++;
    return true;
  }

  /** True when `next` stopped early. Cannot happen to a frame that passed `checkFrame`. */
  get damaged(): boolean {
    return this.broken;
  }

  /** Decodes the current command, one of group 0. Throws CodecError when it is not one, or has bytes to spare. */
  decode(): Command {
    const command = decodeCommand(this.command);
    this.command.expectEnd();
    return command;
  }

  /** The same, one of a shard. */
  decodeShard(): ShardCommand {
    const command = decodeShardCommand(this.command);
    this.command.expectEnd();
    return command;
  }
}

const noBytes: Uint8Array = new Uint8Array(0);
