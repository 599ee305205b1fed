import {
  ByteReader,
  ByteWriter,
  type ClientFrame,
  type Command,
  CommandFrameBuilder,
  FrameCursor,
  type Result,
  type ServerFrame,
  decodeClientFrame,
  decodeCommand,
  decodeResult,
  decodeServerFrame,
  encodeClientFrame,
  encodeCommand,
  encodeEntryPayload,
  encodeResult,
  encodeServerFrame,
  prefixFrame,
  readEntryPayload,
} from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { hex, unhex } from "./arbitraries.ts";
import { golden } from "./golden.ts";
import { clientFrameSamples, serverFrameSamples } from "./frame-samples.ts";
import { commandSamples, resultSamples } from "./samples.ts";

/**
 * The bytes of the format, as they are in every log and on every wire. A failure here means that old logs can no longer be read:
 * bring the bytes back, or take a new version number and keep the old decoder.
 */
function written<T>(encode: (writer: ByteWriter, value: T) => void): (value: T) => Uint8Array {
  return (value) => {
    const writer = new ByteWriter();
    encode(writer, value);
    return writer.finish();
  };
}
function read<T>(decode: (reader: ByteReader) => T): (bytes: Uint8Array) => T {
  return (bytes) => {
    const reader = new ByteReader(bytes);
    const value = decode(reader);
    reader.expectEnd();
    return value;
  };
}

function pin<T>(
  family: string,
  samples: Readonly<Record<string, readonly T[]>>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
) {
  const named = Object.entries(samples).flatMap(([type, values]) =>
    values.map((value, i): [string, T] => [`${family} ${type} ${i}`, value]),
  );
  describe(`${family}s keep their bytes`, () => {
    test.each(named)("%s", (name, value) => {
      expect(hex(encode(value))).toBe(golden[name]);
      expect(decode(unhex(golden[name] ?? ""))).toEqual(value);
    });
  });
  return named.length;
}

let pinned = 0;
pinned += pin<Command>("command", commandSamples, written(encodeCommand), read(decodeCommand));
pinned += pin<Result>("result", resultSamples, written(encodeResult), read(decodeResult));
pinned += pin<ClientFrame>("client frame", clientFrameSamples, encodeClientFrame, decodeClientFrame);
pinned += pin<ServerFrame>("server frame", serverFrameSamples, encodeServerFrame, decodeServerFrame);

describe("containers keep their bytes", () => {
  test("command frame", () => {
    const builder = new CommandFrameBuilder();
    builder.begin("c1", "print", 1_790_000_000_000, 41, 42);
    const commands = [...commandSamples.nothing, ...commandSamples.acquire, ...commandSamples.release];
    for (const command of commands) builder.add(command);
    const frame = builder.finish();
    expect(hex(frame)).toBe(golden["command frame"]);
    const cursor = new FrameCursor();
    cursor.open(frame);
    expect(commands.map(() => cursor.next() && cursor.decode())).toEqual(commands);
    // An ordered one differs in its first byte.
    builder.ordered = true;
    expect(hex(builder.finish())).toBe(`02${golden["command frame"]?.slice(2)}`);
  });

  test("entry payload", () => {
    const payload = encodeEntryPayload(1_790_000_000_000, [unhex("010203"), unhex("ff")]);
    expect(hex(payload)).toBe(golden["entry payload"]);
    expect(readEntryPayload(payload).frames.map(hex)).toEqual(["010203", "ff"]);
  });

  test("length prefix", () => {
    expect(hex(prefixFrame([unhex("0102"), new Uint8Array(300)]).subarray(0, 6))).toBe(golden["length prefix"]);
  });
});

test("every golden vector belongs to a sample", () => {
  expect(Object.keys(golden)).toHaveLength(pinned + 3);
});
