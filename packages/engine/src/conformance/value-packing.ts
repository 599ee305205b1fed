import type { ValuePacking } from "../ports/value-packing.ts";
import type { TestApi } from "./api.ts";

const value = new Uint8Array(10_000).map((_byte, at) => (at % 1_000 < 900 ? 7 : at));

/** What every ValuePacking must do. */
export function valuePackingConformance(api: TestApi, make: () => ValuePacking): void {
  const { equal, ok, test } = api;

  test("a value comes back byte for byte, and what repeats is smaller", async () => {
    const port = make();
    for (const bytes of [value, new Uint8Array(0), Uint8Array.of(0), new Uint8Array(70_000)]) {
      const packed = port.pack(bytes);
      const unpacked = port.unpack(packed, port.packing, Math.max(1, bytes.length));
      ok(unpacked !== null && unpacked.length === bytes.length && unpacked.every((byte, at) => byte === bytes[at]), "the same bytes");
    }
    ok(port.pack(value).length < value.length, "smaller");
  });

  test("nothing comes to more bytes than are allowed, however few it is made of", async () => {
    const port = make();
    const packed = port.pack(new Uint8Array(50_000_000));
    equal(port.unpack(packed, port.packing, 524_288), null);
    equal(port.unpack(port.pack(value), port.packing, value.length - 1), null);
  });

  test("what is not packed so, or not whole, is no value", async () => {
    const port = make();
    const packed = port.pack(value);
    equal(port.unpack(packed.subarray(0, packed.length - 1), port.packing, 524_288), null);
    equal(port.unpack(Uint8Array.of(0xff, 0xff, 0xff), port.packing, 524_288), null);
  });
}
