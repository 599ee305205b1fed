import { mutant } from "@trivet/core/mutation";
import { type CachePut, limits, neverPackedBytes, type Packing } from "@trivet/wire";
import type { ValuePacking } from "../ports/value-packing.ts";

interface Stored {
  readonly value: Uint8Array | null;
  readonly packing?: Packing;
}

/** The put as it goes to the home: compressed where its namespace asks for that and the value becomes smaller (decision 0024). */
export function packedPut(port: ValuePacking, compressOver: number, put: CachePut): CachePut {
  const { value } = put;
  if (value === null || compressOver === 0 || value.length <= Math.max(compressOver, neverPackedBytes)) return put;
  const packed = port.pack(value);
  return packed.length < value.length || mutant("packing-keeps-what-grows") ? { ...put, value: packed, packing: port.packing } : put;
}

/** The value as it was given, whoever has compressed it; undefined = it cannot be unpacked, or would be larger than any value may be. */
export function plainValue(port: ValuePacking, { packing, value }: Stored): Uint8Array | null | undefined {
  if (value === null || packing === undefined) return value;
  return port.unpack(value, packing, mutant("packing-unbounded") ? Number.POSITIVE_INFINITY : limits.maxBodyBytes) ?? undefined;
}

/** The same record with its plain value. Null = as above. */
export function plainRecord<Record extends Stored>(port: ValuePacking, record: Record): Omit<Record, "packing"> | null {
  const { packing, ...plain } = record;
  if (packing === undefined) return record;
  const value = plainValue(port, record);
  return value === undefined ? null : { ...plain, value };
}
