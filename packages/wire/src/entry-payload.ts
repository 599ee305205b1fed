import { ByteReader, ByteWriter, varintLength } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";

/** First byte of the payload of every Raft entry that carries commands. */
export const entryPayloadVersion = 1;

/** The payload of one Raft entry: the group time its leader stamped (rule L3), and the frames of one turn, unchanged. */
export function encodeEntryPayload(groupTime: number, frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 1 + varintLength(groupTime);
  for (const frame of frames) size += varintLength(frame.length) + frame.length;
  // Room for what a varint may ask for beyond what it takes: the one buffer is handed out, not a copy of it.
  const writer = new ByteWriter(size + 8);
  writer.u8(entryPayloadVersion);
  writer.varint(groupTime);
  for (const frame of frames) writer.bytes(frame);
  return writer.view();
}

/** Walks the frames of an entry without allocating per frame. Reusable. */
export class EntryPayloadCursor {
  groupTime = 0;
  /** The current frame is [frameStart, frameEnd) of the payload. */
  frameStart = 0;
  frameEnd = 0;
  private readonly reader = new ByteReader();

  /** Starts over. Throws CodecError when `payload` does not begin like an entry. */
  open(payload: Uint8Array): void {
    const { reader } = this;
    reader.reset(payload);
    const version = reader.u8();
    if (version !== entryPayloadVersion) throw new CodecError(`version ${version} of an entry; this is ${entryPayloadVersion}`);
    this.groupTime = reader.varint();
  }

  /** Moves to the next frame; false after the last. Throws CodecError when the payload ends inside a frame. */
  next(): boolean {
    const { reader } = this;
    if (reader.remaining === 0) return false;
    const length = reader.varint();
    this.frameStart = reader.position;
    reader.skip(length);
    this.frameEnd = reader.position;
    return true;
  }
}

/** The whole payload at once, frames as views: for tools and tests. Throws CodecError. */
export function readEntryPayload(payload: Uint8Array): { readonly groupTime: number; readonly frames: readonly Uint8Array[] } {
  const cursor = new EntryPayloadCursor();
  cursor.open(payload);
  const frames: Uint8Array[] = [];
  while (cursor.next()) frames.push(payload.subarray(cursor.frameStart, cursor.frameEnd));
  return { groupTime: cursor.groupTime, frames };
}
