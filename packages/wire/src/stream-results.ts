import { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { limits } from "./limits.ts";
import { decodeResult, encodeResult } from "./result-codec.ts";
import type { Result } from "./results.ts";
import { serverFrameNumbers } from "./stream-frames.ts";

/**
 * Builds `results` frames: the caller, then each answer as the distance of its sequence from the one before (zigzag: apply answers
 * mostly in order, but a wait that ends late may be anywhere) and the result. Reusable.
 */
export class ResultsBuilder {
  private readonly writer = new ByteWriter(1024);
  private previous = 0;
  private answers = 0;

  begin(caller: string): void {
    this.writer.reset();
    this.writer.u8(serverFrameNumbers.results);
    this.writer.string(caller);
    this.previous = 0;
    this.answers = 0;
  }

  add(sequence: number, result: Result): void {
    writeDistance(this.writer, sequence - this.previous);
    encodeResult(this.writer, result);
    this.previous = sequence;
    this.answers++;
  }

  get count(): number {
    return this.answers;
  }
  /** Close the frame before this passes `limits.maxFrameBytes`. */
  get byteLength(): number {
    return this.writer.length;
  }

  /** The frame, yours to keep. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.writer.finish();
  }
}

/** Walks a `results` frame. Reusable: the hot path of a client. */
export class ResultsCursor {
  caller = "";
  sequence = 0;
  private readonly reader = new ByteReader();

  /** Starts over on a frame whose type byte says `results`. Throws CodecError. */
  open(bytes: Uint8Array): void {
    const { reader } = this;
    reader.reset(bytes);
    if (reader.u8() !== serverFrameNumbers.results) throw new CodecError("not a frame of results");
    this.caller = reader.string(limits.maxCallerBytes);
    this.sequence = 0;
  }

  /** The next result, its sequence in `sequence`; null after the last. Throws CodecError. */
  next(): Result | null {
    const { reader } = this;
    if (reader.remaining === 0) return null;
    this.sequence = readSequence(reader, this.sequence);
    return decodeResult(reader);
  }
}

/** Builds `shard-results` frames: as `results`, but each answer is the bytes that apply gave, with their length. Reusable. */
export class ShardResultsBuilder {
  private readonly writer = new ByteWriter(1024);
  private previous = 0;
  private answers = 0;

  begin(group: number, caller: string): void {
    this.writer.reset();
    this.writer.u8(serverFrameNumbers["shard-results"]);
    this.writer.varint(group);
    this.writer.string(caller);
    this.previous = 0;
    this.answers = 0;
  }

  /** Copies `bytes`. */
  add(sequence: number, bytes: Uint8Array): void {
    writeDistance(this.writer, sequence - this.previous);
    this.writer.bytes(bytes);
    this.previous = sequence;
    this.answers++;
  }

  get count(): number {
    return this.answers;
  }
  get byteLength(): number {
    return this.writer.length;
  }

  /** The frame, yours to keep. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.writer.finish();
  }
}

/** Walks a `shard-results` frame without decoding the answers. Reusable. */
export class ShardResultsCursor {
  group = 0;
  caller = "";
  sequence = 0;
  /** The current answer; a view. */
  bytes: Uint8Array = noBytes;
  private message: Uint8Array = noBytes;
  private readonly reader = new ByteReader();

  /** Starts over on a frame whose type byte says `shard-results`. Throws CodecError. */
  open(message: Uint8Array): void {
    const { reader } = this;
    this.message = message;
    reader.reset(message);
    if (reader.u8() !== serverFrameNumbers["shard-results"]) throw new CodecError("not a frame of a shard's results");
    this.group = reader.varint(limits.maxShards);
    this.caller = reader.string(limits.maxCallerBytes);
    this.sequence = 0;
  }

  /** Moves to the next answer; false after the last. Throws CodecError. */
  next(): boolean {
    const { reader } = this;
    if (reader.remaining === 0) return false;
    this.sequence = readSequence(reader, this.sequence);
    const length = reader.varint();
    const start = reader.position;
    reader.skip(length);
    this.bytes = this.message.subarray(start, start + length);
    return true;
  }
}

const noBytes: Uint8Array = new Uint8Array(0);

function writeDistance(writer: ByteWriter, distance: number): void {
  writer.varint(distance >= 0 ? distance * 2 : -distance * 2 - 1);
}

function readSequence(reader: ByteReader, previous: number): number {
  const zigzag = reader.varint();
  const sequence = previous + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
  if (sequence < 0 || !Number.isSafeInteger(sequence)) throw new CodecError(`sequence ${sequence}`);
  return sequence;
}
