import { MemoryCrypto } from "@trivet/engine";
import { crc32 } from "node:zlib";

/** As the engine's memory crypto, with the platform's CRC-32: the log checksums every byte it writes, and seeds should be fast. */
export class SimCrypto extends MemoryCrypto {
  override crc32(data: Uint8Array, seed: number = 0): number {
    // zlib's crc32 forgets the seed for an empty array whose `.buffer` was ever touched (Node 20.20, 24.21): a seed must not depend on what ran before it.
    return data.length === 0 ? seed >>> 0 : crc32(data, seed >>> 0);
  }
}
