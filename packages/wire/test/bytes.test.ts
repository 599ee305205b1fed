import { ByteReader, ByteWriter, CodecError, clipText, isWellFormedText, utf8Length, varintLength } from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyUint, hex, unhex } from "./arbitraries.ts";

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1);
  write(writer);
  return writer.finish();
}
function reading(hexText: string): ByteReader {
  return new ByteReader(unhex(hexText));
}

describe("integers", () => {
  test.each([
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [2 ** 28 - 1, "ffffff7f"],
    [2 ** 28, "8080808001"],
    [2 ** 31 - 1, "ffffffff07"],
    [2 ** 31, "8080808008"],
    [2 ** 32, "8080808010"],
    [2 ** 40, "808080808020"],
    [Number.MAX_SAFE_INTEGER, "ffffffffffffff0f"],
  ])("%d is %s", (value, bytes) => {
    expect(hex(written((writer) => writer.varint(value)))).toBe(bytes);
    expect(reading(bytes).varint()).toBe(value);
    expect(varintLength(value)).toBe(bytes.length / 2);
  });

  test("every unsigned integer below 2^53 comes back", () => {
    fc.assert(
      fc.property(anyUint, (value) => {
        const bytes = written((writer) => writer.varint(value));
        const reader = new ByteReader(bytes);
        expect(reader.varint()).toBe(value);
        expect(reader.remaining).toBe(0);
        expect(bytes.length).toBe(varintLength(value));
      }),
    );
  });

  test.each([-1, 0.5, 2 ** 53, 1e300, Number.NaN, Number.POSITIVE_INFINITY])("%d cannot be written", (value) => {
    expect(() => written((writer) => writer.varint(value))).toThrow(CodecError);
  });

  test.each(["", "80", "ffffffffffffff", "8000", "ff00", "ffffffffffffff10", "ffffffffffffffff01", "808080808080808080"])(
    "bytes %s are no integer",
    (bytes) => {
      expect(() => reading(bytes).varint()).toThrow(CodecError);
    },
  );

  test("a maximum is kept", () => {
    expect(reading("64").varint(100)).toBe(100);
    expect(() => reading("65").varint(100)).toThrow(CodecError);
  });

  test("fixed-width integers come back and refuse what does not fit", () => {
    expect(hex(written((writer) => writer.u32(0xfedcba98)))).toBe("98badcfe");
    expect(reading("98badcfe").u32()).toBe(0xfedcba98);
    expect(() => reading("98badc").u32()).toThrow(CodecError);
    expect(() => reading("").u8()).toThrow(CodecError);
    for (const value of [-1, 256, 1.5, Number.NaN]) expect(() => written((writer) => writer.u8(value))).toThrow(CodecError);
    for (const value of [-1, 2 ** 32, 1.5, Number.NaN]) expect(() => written((writer) => writer.u32(value))).toThrow(CodecError);
  });
});

describe("text", () => {
  test("every well-formed text comes back, and its bytes are those of the platform", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.string({ maxLength: 200 })), (text) => {
        const bytes = written((writer) => writer.string(text));
        expect(new ByteReader(bytes).string(10_000)).toBe(text);
        const platform = Buffer.from(text, "utf8");
        expect(hex(bytes.subarray(bytes.length - platform.length))).toBe(hex(platform));
        expect(utf8Length(text)).toBe(platform.length);
      }),
    );
  });

  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 46, 47, 48, 49, 126, 127, 128, 129, 16_383, 16_384])(
    "a text of %d characters keeps its length prefix",
    (length) => {
      for (const text of ["x".repeat(length), "é".repeat(length), "漢".repeat(length), "0123456789abcdefg".slice(0, length)]) {
        expect(new ByteReader(written((writer) => writer.string(text))).string(100_000)).toBe(text);
      }
    },
  );

  test("a lone surrogate is refused, wherever it stands", () => {
    for (const text of ["\ud800", "a\udc00b", "\ud800".padStart(100, "x"), "\udc00\ud800"]) {
      expect(isWellFormedText(text)).toBe(false);
      expect(() => written((writer) => writer.string(text))).toThrow(CodecError);
    }
    expect(isWellFormedText("😀")).toBe(true);
  });

  test.each([
    ["invalid UTF-8", "02c328"],
    ["an overlong form", "02c080"],
    ["an encoded surrogate", "03eda080"],
    ["a text that ends too early", "056162"],
  ])("%s is refused", (_, bytes) => {
    expect(() => reading(bytes).string(100)).toThrow(CodecError);
  });

  test("a byte order mark is text like any other", () => {
    expect(reading("03efbbbf").string(10)).toBe("\ufeff");
  });

  test("lengths out of bounds are refused", () => {
    expect(() => reading("03616263").string(2)).toThrow(CodecError);
    expect(() => reading("00").string(2, 1)).toThrow(CodecError);
    expect(reading("00").string(2)).toBe("");
  });

  test("a text that is known already comes back as it is, any other as it was written", () => {
    const texts = fc.oneof(fc.constantFrom("", "a", "owner", "é", "ÿ", "漢", "x".repeat(48), "x".repeat(49), "x".repeat(130)), fc.string());
    fc.assert(
      fc.property(texts, texts, (known, text) => {
        const bytes = written((writer) => {
          writer.string(text);
          writer.u8(7);
        });
        const reader = new ByteReader(bytes);
        expect(reader.stringAs(known, 1000)).toBe(text);
        expect(reader.u8()).toBe(7);
      }),
    );
  });

  test("knowing a text makes nothing of it good that is not", () => {
    // As bytes of Latin-1, the first would be what is known.
    expect(() => reading("01e9").stringAs("é", 10)).toThrow(CodecError);
    expect(() => reading("056162").stringAs("abcde", 10)).toThrow(CodecError);
    expect(() => reading("0561626364").stringAs("abcde", 10)).toThrow(CodecError);
    expect(() => reading("03616263").stringAs("abc", 2)).toThrow(CodecError);
    expect(() => reading("").stringAs("", 2)).toThrow(CodecError);
    const part = new ByteReader(unhex("0361626364"), 0, 3);
    expect(() => part.stringAs("abc", 10)).toThrow(CodecError);
  });

  test("clipped text is well-formed, short enough and a prefix", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.integer({ min: 0, max: 80 }), (text, max) => {
        const clipped = clipText(text, max);
        expect(text.startsWith(clipped)).toBe(true);
        expect(utf8Length(clipped)).toBeLessThanOrEqual(max);
        if (utf8Length(text) <= max) expect(clipped).toBe(text);
      }),
    );
    expect(clipText("a\ud800b", 10)).toBe("a\ufffdb");
  });
});

describe("buffers", () => {
  test("byte strings come back as views", () => {
    const bytes = written((writer) => {
      writer.bytes(unhex("010203"));
      writer.raw(unhex("ff"));
    });
    const reader = new ByteReader(bytes);
    const view = reader.bytes(3);
    expect(hex(view)).toBe("010203");
    expect(view.buffer).toBe(bytes.buffer);
    expect(hex(reader.raw(1))).toBe("ff");
    expect(() => reader.raw(1)).toThrow(CodecError);
    expect(() => new ByteReader(bytes).bytes(2)).toThrow(CodecError);
  });

  test("a reused writer starts clean and what it handed out stays", () => {
    const writer = new ByteWriter(1);
    writer.string("first");
    const first = writer.finish();
    writer.reset();
    writer.string("other");
    expect(hex(first)).toBe("056669727374");
    expect(hex(writer.view())).toBe("056f74686572");
    writer.truncate(1);
    expect(writer.length).toBe(1);
    expect(() => writer.truncate(2)).toThrow(RangeError);
  });

  test("a length-prefixed part may be of any size", () => {
    for (const size of [0, 1, 127, 128, 16_383, 16_384, 70_000]) {
      const bytes = written((writer) => {
        writer.u8(7);
        const start = writer.openLength();
        writer.raw(new Uint8Array(size).fill(5));
        writer.closeLength(start);
        writer.u8(9);
      });
      const reader = new ByteReader(bytes);
      expect(reader.u8()).toBe(7);
      const part = reader.bytes(100_000);
      expect(part.length).toBe(size);
      expect(part.every((byte) => byte === 5)).toBe(true);
      expect(reader.u8()).toBe(9);
      reader.expectEnd();
    }
  });

  test("a reader keeps to its part", () => {
    const reader = new ByteReader(unhex("0102030405"), 1, 3);
    expect(reader.remaining).toBe(2);
    expect(reader.u8()).toBe(2);
    expect(() => reader.expectEnd()).toThrow(CodecError);
    reader.skip(1);
    expect(() => reader.u8()).toThrow(CodecError);
    expect(() => reader.skip(1)).toThrow(CodecError);
    expect(() => reader.reset(unhex("01"), 0, 2)).toThrow(RangeError);
  });
});
