import { CodecError } from "./codec-error.ts";
import { isWellFormedText } from "./text.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strings up to these lengths are written and read without the platform's encoder, whose call costs more than the work. Measured. */
const shortWrite = 48;
const shortRead = 16;

/** Appends primitive values to a growing buffer. Reusable: `reset` keeps the memory. */
export class ByteWriter {
  private buffer: Uint8Array<ArrayBuffer>;
  private position = 0;

  constructor(initialBytes = 256) {
    this.buffer = new Uint8Array(initialBytes);
  }

  /** Bytes written since the last reset. */
  get length(): number {
    return this.position;
  }

  reset(): void {
    this.position = 0;
  }

  /** Takes back everything after the first `length` bytes. */
  truncate(length: number): void {
    if (length < 0 || length > this.position) throw new RangeError(`truncate to ${length} of ${this.position}`);
    this.position = length;
  }

  u8(value: number): void {
    if ((value & 0xff) !== value) throw new CodecError(`not a byte: ${value}`);
    this.reserve(1);
    this.buffer[this.position++] = value;
  }

  /** Unsigned 32-bit, little endian. */
  u32(value: number): void {
    if (value >>> 0 !== value) throw new CodecError(`not an unsigned 32-bit integer: ${value}`);
    this.reserve(4);
    const { buffer, position } = this;
    buffer[position] = value;
    buffer[position + 1] = value >>> 8;
    buffer[position + 2] = value >>> 16;
    buffer[position + 3] = value >>> 24;
    this.position = position + 4;
  }

  /** Unsigned integer up to 2^53 - 1: seven bits per byte, lowest first, the top bit set on all but the last. */
  varint(value: number): void {
    this.reserve(8);
    const { buffer } = this;
    let position = this.position;
    let rest = value;
    if ((value | 0) !== value || value < 0) {
      if (!Number.isSafeInteger(value) || value < 0) throw new CodecError(`not an unsigned integer below 2^53: ${value}`);
      // Above 31 bits the bit operators would cut: take four groups by arithmetic first.
      let high = Math.floor(value / 0x1000_0000);
      const low = value - high * 0x1000_0000;
      buffer[position++] = (low & 0x7f) | 0x80;
      buffer[position++] = ((low >>> 7) & 0x7f) | 0x80;
      buffer[position++] = ((low >>> 14) & 0x7f) | 0x80;
      buffer[position++] = (low >>> 21) | 0x80;
      while (high >= 0x80) {
        buffer[position++] = (high & 0x7f) | 0x80;
        high >>>= 7;
      }
      rest = high;
    } else {
      while (rest >= 0x80) {
        buffer[position++] = (rest & 0x7f) | 0x80;
        rest >>>= 7;
      }
    }
    buffer[position++] = rest;
    this.position = position;
  }

  /** Length in bytes, then UTF-8. */
  string(text: string): void {
    const units = text.length;
    if (units > shortWrite || !this.ascii(text)) this.longString(text);
  }

  /** Length, then the bytes. */
  bytes(data: Uint8Array): void {
    this.varint(data.length);
    this.raw(data);
  }

  raw(data: Uint8Array): void {
    this.reserve(data.length);
    this.buffer.set(data, this.position);
    this.position += data.length;
  }

  /** Appends `count` values whose own length is written before them, by moving them when the length needs more than one byte. */
  closeLength(start: number): void {
    const { position } = this;
    const length = position - start - 1;
    if (length < 0x80) {
      this.buffer[start] = length;
      return;
    }
    const extra = varintLength(length) - 1;
    this.reserve(extra);
    this.buffer.copyWithin(start + 1 + extra, start + 1, position);
    this.position = start;
    this.varint(length);
    this.position = position + extra;
  }

  /** Opens a length-prefixed part: returns what `closeLength` wants once the part is written. */
  openLength(): number {
    this.reserve(1);
    return this.position++;
  }

  /** A copy of just the right size: yours to keep. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.buffer.slice(0, this.position);
  }

  /** What was written, without a copy: valid until the next call. */
  view(): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(0, this.position);
  }

  /** False, with nothing written, when `text` is not all ASCII. `text` is short. */
  private ascii(text: string): boolean {
    const units = text.length;
    this.reserve(units + 1);
    const { buffer } = this;
    let position = this.position;
    buffer[position++] = units;
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      buffer[position++] = unit;
    }
    this.position = position;
    return true;
  }

  private longString(text: string): void {
    if (!isWellFormedText(text)) throw new CodecError("text is not well-formed Unicode");
    const start = this.openLength();
    this.reserve(text.length * 3);
    const { written } = encoder.encodeInto(text, this.buffer.subarray(this.position));
    this.position += written;
    this.closeLength(start);
  }

  private reserve(extra: number): void {
    const wanted = this.position + extra;
    if (wanted > this.buffer.length) this.grow(wanted);
  }

  private grow(wanted: number): void {
    const larger = new Uint8Array(Math.max(wanted, this.buffer.length * 2));
    larger.set(this.buffer.subarray(0, this.position));
    this.buffer = larger;
  }
}

/** Bytes that `ByteWriter.varint` needs for `value`. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Reads primitive values from a part of a buffer. Throws CodecError for anything `ByteWriter` would not have written. */
export class ByteReader {
  private buffer: Uint8Array;
  /** Where the next value begins, counted from the start of the buffer. */
  position: number;
  private limit: number;

  constructor(bytes: Uint8Array = nothing, start = 0, end: number = bytes.length) {
    this.buffer = bytes;
    this.position = start;
    this.limit = end;
    this.reset(bytes, start, end);
  }

  /** Reads [start, end) of `bytes` from now on. */
  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    if (start < 0 || start > end || end > bytes.length) throw new RangeError(`no part of ${bytes.length} bytes: ${start} to ${end}`);
    this.buffer = bytes;
    this.position = start;
    this.limit = end;
  }

  get remaining(): number {
    return this.limit - this.position;
  }

  /** End of the part being read, counted from the start of the buffer. */
  get end(): number {
    return this.limit;
  }

  /** Throws unless everything was read. */
  expectEnd(): void {
    if (this.position !== this.limit) throw new CodecError(`${this.remaining} bytes too many`);
  }

  u8(): number {
    if (this.position >= this.limit) throw truncated();
    return this.buffer[this.position++] as number;
  }

  u32(): number {
    const { buffer, position } = this;
    if (this.limit - position < 4) throw truncated();
    this.position = position + 4;
    return (
      ((buffer[position] as number) |
        ((buffer[position + 1] as number) << 8) |
        ((buffer[position + 2] as number) << 16) |
        ((buffer[position + 3] as number) << 24)) >>>
      0
    );
  }

  /** An unsigned integer of at most `max`. */
  varint(max: number = Number.MAX_SAFE_INTEGER): number {
    const { buffer, limit } = this;
    let { position } = this;
    if (position >= limit) throw truncated();
    let byte = buffer[position++] as number;
    let value = byte & 0x7f;
    if (byte >= 0x80) {
      let scale = 0x80;
      do {
        if (position >= limit) throw truncated();
        byte = buffer[position++] as number;
        value += (byte & 0x7f) * scale;
        scale *= 0x80;
        // At most eight groups (2^49 is the weight of the last): 56 bits, of which the check below refuses what is over 2^53.
      } while (byte >= 0x80 && scale <= 0x2_0000_0000_0000);
      if (byte >= 0x80) throw new CodecError("integer too long");
      if (byte === 0) throw new CodecError("integer with needless bytes");
    }
    if (value > max) throw new CodecError(`${value} is above ${max}`);
    this.position = position;
    return value;
  }

  /** A string of `min` to `max` bytes of UTF-8. */
  string(max: number, min = 0): string {
    const length = this.varint();
    if (length > max || length < min) throw new CodecError(`text of ${length} bytes where ${min} to ${max} are allowed`);
    const start = this.position;
    if (length > this.limit - start) throw truncated();
    if (length === 0) return "";
    this.position = start + length;
    return length <= shortRead ? this.shortString(start, start + length) : this.decodeText(start, start + length);
  }

  /** The same, and `known` itself where it says nothing else: what comes again and again is then one string, and costs no new one. */
  stringAs(known: string, max: number): string {
    const { buffer, position: start } = this;
    const units = known.length;
    // One byte of length, and one for each character.
    if (units > shortWrite || start + units >= this.limit || units > max || buffer[start] !== units) return this.string(max);
    for (let i = 0; i < units; i++) {
      const unit = known.charCodeAt(i);
      if (unit !== buffer[start + 1 + i] || unit >= 0x80) return this.string(max);
    }
    this.position = start + 1 + units;
    return known;
  }

  /** Length-prefixed bytes, as a view. */
  bytes(max: number): Uint8Array {
    const length = this.varint();
    if (length > max) throw new CodecError(`${length} bytes where at most ${max} are allowed`);
    return this.raw(length);
  }

  /** `length` bytes, as a view. */
  raw(length: number): Uint8Array {
    if (length > this.limit - this.position) throw truncated();
    this.position += length;
    return this.buffer.subarray(this.position - length, this.position);
  }

  /** Skips `length` bytes. */
  skip(length: number): void {
    if (length > this.limit - this.position) throw truncated();
    this.position += length;
  }

  private shortString(start: number, end: number): string {
    const { buffer } = this;
    for (let i = start; i < end; i++) if ((buffer[i] as number) >= 0x80) return this.decodeText(start, end);
    return asciiString(buffer, start, end);
  }

  private decodeText(start: number, end: number): string {
    try {
      return decoder.decode(this.buffer.subarray(start, end));
    } catch {
      throw new CodecError("text is not valid UTF-8");
    }
  }
}

const nothing: Uint8Array = new Uint8Array(0);

function truncated(): CodecError {
  return new CodecError("bytes end too early");
}

const fromCharCode = String.fromCharCode;

/** At most 16 characters. One call makes one flat string; pieces joined together would have to be flattened at the first look-up. */
function asciiString(b: Uint8Array, start: number, end: number): string {
  if (end - start <= 8) return asciiPiece(b, start, end);
  return asciiPiece(b, start, start + 8) + asciiPiece(b, start + 8, end);
}

function asciiPiece(b: Uint8Array, i: number, end: number): string {
  switch (end - i) {
    case 1:
      return fromCharCode(at(b, i));
    case 2:
      return fromCharCode(at(b, i), at(b, i + 1));
    case 3:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2));
    case 4:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2), at(b, i + 3));
    case 5:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2), at(b, i + 3), at(b, i + 4));
    case 6:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2), at(b, i + 3), at(b, i + 4), at(b, i + 5));
    case 7:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2), at(b, i + 3), at(b, i + 4), at(b, i + 5), at(b, i + 6));
    default:
      return fromCharCode(at(b, i), at(b, i + 1), at(b, i + 2), at(b, i + 3), at(b, i + 4), at(b, i + 5), at(b, i + 6), at(b, i + 7));
  }
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}
