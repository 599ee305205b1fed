import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { type CachedRecord, type CachePut, limits, neverPackedBytes } from "@trivet/wire";

/** The put as it goes to the home: compressed where its namespace asks for that and the value becomes smaller. 0 = it does not, or its node is older. */
export function packedPut(put: CachePut, compressOver: number): CachePut {
  const { value } = put;
  if (value === null || compressOver === 0 || value.length <= Math.max(compressOver, neverPackedBytes)) return put;
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = constants;
  const packed = brotliCompressSync(value, { params: { [BROTLI_PARAM_QUALITY]: 1, [BROTLI_PARAM_SIZE_HINT]: value.length } });
  return packed.length < value.length ? { ...put, value: packed, packing: "brotli" } : put;
}

/**
 * A record of this process's own, which keeps no message alive, with its value as it was given. What nodes let nobody store, what cannot be unpacked or is
 * larger than a value may be, stays as it is: whoever reads it is told.
 */
export function ownedRecord(record: CachedRecord): CachedRecord {
  const { packing, ...plain } = record;
  if (record.value === null) return record;
  const value = packing === undefined ? record.value.slice() : unpacked(record.value);
  return value === null ? { ...record, value: record.value.slice() } : { ...plain, value };
}

function unpacked(value: Uint8Array): Uint8Array | null {
  try {
    return brotliDecompressSync(value, { maxOutputLength: limits.maxBodyBytes });
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}
