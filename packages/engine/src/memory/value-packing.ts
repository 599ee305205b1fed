import type { ValuePacking } from "../ports/value-packing.ts";

/** Runs of equal bytes as their length and the byte: enough for tests to see who unpacks what, and who forgets to. */
export class MemoryPacking implements ValuePacking {
  readonly packing = "brotli" as const;

  pack(value: Uint8Array): Uint8Array {
    const runs: number[] = [];
    for (let start = 0; start < value.length;) {
      let end = start + 1;
      while (end < value.length && end - start < 255 && value[end] === value[start]) end++;
      runs.push(end - start, value[start] as number);
      start = end;
    }
    return Uint8Array.from(runs);
  }

  unpack(packed: Uint8Array, _packing: "brotli", most: number): Uint8Array | null {
    if (packed.length % 2 !== 0) return null;
    let length = 0;
    for (let at = 0; at < packed.length; at += 2) {
      if (packed[at] === 0) return null;
      length += packed[at] as number;
    }
    if (length > most) return null;
    const value = new Uint8Array(length);
    let end = 0;
    for (let at = 0; at < packed.length; at += 2) value.fill(packed[at + 1] as number, end, (end += packed[at] as number));
    return value;
  }
}
