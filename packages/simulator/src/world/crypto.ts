import { MemoryCrypto } from "@trivet/engine";
import { crc32 } from "node:zlib";

/** As the engine's memory crypto, with the platform's CRC-32: the log checksums every byte it writes, and seeds should be fast. */
export class SimCrypto extends MemoryCrypto {
  override crc32(data: Uint8Array, seed: number = 0): number {
    return crc32(data, seed >>> 0);
  }
}
