import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Crypto } from "@trivet/engine";

export class NodeCrypto implements Crypto {
  crc32(data: Uint8Array, seed = 0): number {
    // zlib's crc32 forgets the seed for an empty array whose `.buffer` was ever touched (Node 20.20, 24.21).
    return data.length === 0 ? seed : crc32(data, seed);
  }

  hmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return hmac.digest();
  }

  deriveKey(secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", secret, salt, info, 32));
  }

  /** The time depends on the lengths only. */
  equal(a: Uint8Array, b: Uint8Array): boolean {
    return a.length === b.length && timingSafeEqual(a, b);
  }
}
