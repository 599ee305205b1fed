import { expect, test } from "vitest";
import { ByteWriter, PartsWriter } from "../src/index.ts";

function joined(parts: readonly Uint8Array[]): number[] {
  return parts.flatMap((part) => [...part]);
}

function write(writer: ByteWriter, pieces: readonly Uint8Array[]): void {
  writer.u8(7);
  for (const piece of pieces) {
    writer.varint(300);
    writer.bytes(piece);
  }
  writer.string("end");
}

test("the parts in order are what a plain writer writes, whatever is large", () => {
  const pieces = [0, 1, 7, 8, 9, 3, 64].map((length) => new Uint8Array(length).fill(length));
  for (const referFrom of [1, 8, 65]) {
    const [plain, parts] = [new ByteWriter(), new PartsWriter(16, referFrom)];
    write(plain, pieces);
    write(parts, pieces);
    expect(joined(parts.parts())).toEqual([...plain.finish()]);
  }
});

test("what is large is handed out itself, what is small is copied", () => {
  const [small, large] = [new Uint8Array(7), new Uint8Array(8)];
  const writer = new PartsWriter(16, 8);
  writer.raw(large);
  writer.raw(small);
  writer.raw(large);
  const parts = writer.parts();
  expect(parts.length).toBe(3);
  expect(parts[0]).toBe(large);
  expect(parts[1]).not.toBe(small);
  expect(parts[2]).toBe(large);
});
