import { expect, test } from "vitest";
import { NodeCrypto } from "../../src/adapters/crypto.ts";

test("an empty part leaves a chained checksum as it is, also when its buffer was touched", () => {
  const crypto = new NodeCrypto();
  const empty = new Uint8Array(0);
  expect(empty.buffer.byteLength).toBe(0);
  const seed = crypto.crc32(Uint8Array.of(1, 2, 3));
  expect(crypto.crc32(empty, seed)).toBe(seed);
  expect(crypto.crc32(Uint8Array.of(3), crypto.crc32(empty, crypto.crc32(Uint8Array.of(1, 2))))).toBe(seed);
});
