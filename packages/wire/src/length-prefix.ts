import { CodecError } from "./codec-error.ts";

/** Bytes of the length before every frame on a peer connection (unsigned, little endian). */
export const prefixBytes = 4;

/** One buffer: length, then the parts. */
export function prefixFrame(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const framed = new Uint8Array(prefixBytes + length);
  writePrefix(framed, length);
  let position = prefixBytes;
  for (const part of parts) {
    framed.set(part, position);
    position += part.length;
  }
  return framed;
}

/** Only the length of a frame made of `parts`, for writers that gather. */
export function framePrefix(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const prefix = new Uint8Array(prefixBytes);
  writePrefix(prefix, length);
  return prefix;
}

function writePrefix(target: Uint8Array, length: number): void {
  if (length > 0xffff_ffff) throw new CodecError(`a frame of ${length} bytes`);
  target[0] = length;
  target[1] = length >>> 8;
  target[2] = length >>> 16;
  target[3] = length >>> 24;
}

/**
 * Cuts a stream of chunks into frames. A frame that lies inside one chunk is handed out as a view of it, without a copy; one that
 * spans chunks is gathered into a buffer of its own.
 */
export class LengthPrefixDecoder {
  private readonly maxFrameBytes: number;
  private readonly emit: (frame: Uint8Array) => void;
  private readonly prefix = new Uint8Array(prefixBytes);
  private prefixFill = 0;
  /** The frame being gathered; null = between frames. */
  private frame: Uint8Array | null = null;
  private frameFill = 0;
  private stopped = false;

  constructor(maxFrameBytes: number, emit: (frame: Uint8Array) => void) {
    this.maxFrameBytes = maxFrameBytes;
    this.emit = emit;
  }

  /** Takes the next bytes of the stream. Throws CodecError when a frame is too long; the connection is then useless. */
  feed(chunk: Uint8Array): void {
    let position = 0;
    while (position < chunk.length && !this.stopped) {
      position = this.frame === null ? this.begin(chunk, position) : this.gather(this.frame, chunk, position);
    }
  }

  /** Ignores everything from now on: for a handler that closes the connection from inside `emit`. */
  stop(): void {
    this.stopped = true;
    this.frame = null;
  }

  /** True when the stream may end here: no frame is half read. */
  get idle(): boolean {
    return this.frame === null && this.prefixFill === 0;
  }

  private begin(chunk: Uint8Array, start: number): number {
    let position = start;
    while (this.prefixFill < prefixBytes) {
      if (position === chunk.length) return position;
      this.prefix[this.prefixFill++] = chunk[position++] as number;
    }
    const length = this.readPrefix();
    if (length > this.maxFrameBytes) {
      this.stop();
      throw new CodecError(`a frame of ${length} bytes; at most ${this.maxFrameBytes}`);
    }
    this.prefixFill = 0;
    const end = position + length;
    if (end <= chunk.length) {
      this.emit(chunk.subarray(position, end));
      return end;
    }
    this.frame = new Uint8Array(length);
    this.frameFill = 0;
    return position;
  }

  private gather(frame: Uint8Array, chunk: Uint8Array, start: number): number {
    const taken = Math.min(frame.length - this.frameFill, chunk.length - start);
    frame.set(chunk.subarray(start, start + taken), this.frameFill);
    this.frameFill += taken;
    if (this.frameFill === frame.length) {
      this.frame = null;
      this.emit(frame);
    }
    return start + taken;
  }

  private readPrefix(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.prefix;
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }
}
