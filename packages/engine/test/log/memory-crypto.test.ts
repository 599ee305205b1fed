import { MemoryCrypto } from "@trivet/engine";
import { expect, test } from "vitest";

test("the MAC of the memory crypto is of the bytes, wherever their parts end, as a real one is", () => {
  const crypto = new MemoryCrypto();
  const key = Uint8Array.of(1, 2, 3);
  const whole = crypto.hmac(key, [Uint8Array.of(4, 5, 6, 7)]);
  expect(crypto.hmac(key, [Uint8Array.of(4), Uint8Array.of(), Uint8Array.of(5, 6, 7)])).toEqual(whole);
  expect(crypto.hmac(key, [Uint8Array.of(4, 5, 7, 6)])).not.toEqual(whole);
});
