/** Message authentication and checksums, given by the platform. */
export interface Crypto {
  /** CRC-32 (IEEE) of `data`, continuing from `seed`. */
  crc32(data: Uint8Array, seed?: number): number;
  /** HMAC-SHA-256. */
  hmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array;
  /** HKDF-SHA-256 to 32 bytes. */
  deriveKey(secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array;
  /** Constant-time comparison. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}
