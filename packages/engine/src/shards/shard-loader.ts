import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import type { OrderedStore, StoreCut } from "../ports/ordered-store.ts";
import { isMarkKey, readMark, type StoreMark } from "./store-mark.ts";

/** First byte of every chunk of a shard's snapshot. */
const chunkVersion = 1;
/** Larger than any key or value there is. */
const maxPartBytes = 16 * 1024 * 1024;

/** A chunk of a cut: pairs in the order of their keys. Null = there are no more. */
export function cutChunk(cut: StoreCut, maxBytes: number): Uint8Array | null {
  const pairs = cut.next(maxBytes);
  if (pairs === null) return null;
  const writer = new ByteWriter(maxBytes);
  writer.u8(chunkVersion);
  for (const [key, value] of pairs) {
    writer.bytes(key);
    writer.bytes(value);
  }
  return writer.finish();
}

/**
 * Fills an empty store from the chunks of a cut. The mark comes last, whatever its place: a store without one is known to be
 * incomplete, and is not used.
 */
export class ShardLoader {
  readonly store: OrderedStore;
  private mark: readonly [Uint8Array, Uint8Array] | null = null;

  constructor(store: OrderedStore) {
    this.store = store;
  }

  /** Throws CodecError for what is no chunk. */
  push(chunk: Uint8Array): void {
    const reader = new ByteReader(chunk);
    const version = reader.u8();
    if (version !== chunkVersion) throw new CodecError(`version ${version} of a shard's snapshot; this is ${chunkVersion}`);
    this.store.write((view) => {
      while (reader.remaining > 0) {
        const [key, value] = [reader.bytes(maxPartBytes), reader.bytes(maxPartBytes)];
        if (isMarkKey(key)) this.mark = [key.slice(), value.slice()];
        else view.put(key, value);
      }
    });
  }

  /** Throws CodecError when the state is not that of `index`. */
  finish(index: number): StoreMark {
    const { mark } = this;
    if (mark === null) throw new CodecError("a snapshot of a shard that does not say where it was cut");
    this.store.write((view) => view.put(mark[0], mark[1]));
    const found = this.store.read(readMark);
    if (found.index !== index) throw new CodecError(`a snapshot cut at index ${found.index}, not at ${index}`);
    return found;
  }
}
