import { expect, test } from "vitest";
import { avalanche, hashText, mix } from "../../src/system/digest.ts";

// Computed by another program from the definition (FNV-1a over UTF-16 units, MurmurHash3's body and final mix).
const texts: readonly (readonly [text: string, hash: number])[] = [
  ["", -2_128_764_932],
  ["a", -468_852_428],
  ["node1", 256_784_104],
  ["node10", 1_544_149_790],
  ["orders/42", -672_889_707],
  ["é空🔒", 2_111_408_487],
];
const numbers: readonly (readonly [value: number, hash: number])[] = [
  [0, 588_441_933],
  [1, 32_195_794],
  [-1, -121_594_969],
  [2 ** 31, -1_647_016_213],
  [2 ** 40 + 7, 1_892_065_853],
];

/** The hash is the same in every process, on every machine and in every version: one that is salted per process (W-67) fails here. */
test("golden vectors of the fixed hash", () => {
  expect(texts.map(([text]) => [text, hashText(text)])).toEqual(texts);
  expect(numbers.map(([value]) => [value, avalanche(mix(hashText("node1"), value))])).toEqual(numbers);
});
