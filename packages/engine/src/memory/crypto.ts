import type { Crypto } from "../ports/crypto.ts";

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
  return value;
});

/**
 * The real CRC-32; authentication codes that only tell keys and contents apart. Not secure: for the simulator, where an attacker is
 * a test that changes bytes.
 */
export class MemoryCrypto implements Crypto {
  crc32(data: Uint8Array, seed = 0): number {
    let value = ~seed;
    for (let i = 0; i < data.length; i++) value = (table[(value ^ (data[i] as number)) & 0xff] as number) ^ (value >>> 8);
    return ~value >>> 0;
  }

  hmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    return this.digest([key, joined(parts)]);
  }

  deriveKey(secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array {
    return this.digest([secret, salt, Uint8Array.from(info, (character) => character.charCodeAt(0) & 0xff)]);
  }

  equal(a: Uint8Array, b: Uint8Array): boolean {
    return a.length === b.length && a.every((byte, i) => byte === b[i]);
  }

  /** Eight differently seeded checksums over the parts and their lengths. */
  private digest(parts: readonly Uint8Array[]): Uint8Array {
    const out = new Uint8Array(32);
    const view = new DataView(out.buffer);
    const length = new Uint8Array(4);
    for (let i = 0; i < 8; i++) {
      let value = (i + 1) * 0x9e37_79b1;
      for (const part of parts) {
        new DataView(length.buffer).setUint32(0, part.length);
        value = this.crc32(part, this.crc32(length, value));
      }
      view.setUint32(i * 4, value);
    }
    return out;
  }
}

/** One after the other: where a part ends makes no difference to a real HMAC either. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
