import {
  CodecError,
  type Command,
  CommandFrameBuilder,
  EntryPayloadCursor,
  FrameCursor,
  LengthPrefixDecoder,
  checkFrame,
  commandNumbers,
  encodeEntryPayload,
  encodeSingleCommandFrame,
  featureLevels,
  framePrefix,
  levelOfCommand,
  limits,
  maxHeaderBytes,
  prefixFrame,
  readEntryPayload,
  readFrameHeader,
  withAcknowledged,
  withoutOrder,
} from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyCommand, anyText, hex, unhex } from "./arbitraries.ts";

const header = fc.record({
  caller: anyText(limits.maxCallerBytes, 1),
  fingerprint: anyText(limits.maxFingerprintBytes),
  notAfter: fc.maxSafeNat(),
  ackedUpTo: fc.nat(),
  ahead: fc.integer({ min: 1, max: 1024 }),
  ordered: fc.boolean(),
});

const builder = new CommandFrameBuilder();
function build(
  head: { caller: string; fingerprint: string; notAfter: number; ackedUpTo: number; ahead: number; ordered: boolean },
  commands: readonly Command[],
) {
  builder.begin(head.caller, head.fingerprint, head.notAfter, head.ackedUpTo, head.ackedUpTo + head.ahead);
  for (const command of commands) builder.add(command);
  builder.ordered = head.ordered;
  return builder.finish();
}
const nothing: Command = { type: "nothing" };
const plain = { caller: "c", fingerprint: "", notAfter: 9, ackedUpTo: 0, ahead: 1, ordered: false };

describe("command frames", () => {
  test("header and commands come back, at any place of a larger buffer", () => {
    fc.assert(
      fc.property(header, fc.array(anyCommand, { minLength: 1, maxLength: 6 }), fc.nat(5), fc.nat(5), (head, commands, before, after) => {
        const frame = build(head, commands);
        const level = Math.max(
          head.ordered ? featureLevels.ordered : 0,
          ...commands.map(({ type }) => levelOfCommand(commandNumbers[type])),
        );
        const isAnchors = commands.every(({ type }) => type === "anchor-audit");
        expect(checkFrame(frame)).toEqual({ ...readFrameHeader(frame), isAnchors, level });
        const buffer = new Uint8Array(before + frame.length + after).fill(0xff);
        buffer.set(frame, before);
        const cursor = new FrameCursor();
        const { bodyStart, ...read } = cursor.open(buffer, before, before + frame.length);
        expect(read).toEqual({
          caller: head.caller,
          fingerprint: head.fingerprint,
          notAfter: head.notAfter,
          ackedUpTo: head.ackedUpTo,
          firstSequence: head.ackedUpTo + head.ahead,
          count: commands.length,
          ordered: head.ordered,
        });
        expect(bodyStart - before).toBeLessThanOrEqual(maxHeaderBytes);
        commands.forEach((command, i) => {
          expect(cursor.next()).toBe(true);
          expect(cursor.sequence).toBe(head.ackedUpTo + head.ahead + i);
          expect(cursor.decode()).toEqual(command);
        });
        expect(cursor.next()).toBe(false);
        expect(cursor.damaged).toBe(false);
      }),
    );
  });

  test("a command that is refused by the builder leaves the frame as it was", () => {
    builder.begin("c", "", 9, 0, 1);
    builder.add(nothing);
    const before = hex(builder.finish());
    expect(() => builder.add({ type: "forget-node", node: "\ud800" })).toThrow(CodecError);
    expect(builder.count).toBe(1);
    expect(hex(builder.finish())).toBe(before);
  });

  test("a deadline and an acknowledgement may be set until the end", () => {
    builder.begin("c", "", 0, 0, 5);
    builder.add(nothing);
    builder.notAfter = 77;
    builder.ackedUpTo = 4;
    expect(readFrameHeader(builder.finish())).toMatchObject({ notAfter: 77, ackedUpTo: 4, firstSequence: 5 });
  });

  test("an ordered frame without its order, or with a later acknowledgement, is the same in all else", () => {
    fc.assert(
      fc.property(header, fc.array(anyCommand, { minLength: 1, maxLength: 3 }), fc.nat(), (head, commands, later) => {
        const frame = build(head, commands);
        expect(hex(withoutOrder(frame))).toBe(hex(build({ ...head, ordered: false }, commands)));
        const ahead = head.ahead + head.ackedUpTo;
        const ackedUpTo = Math.min(later, ahead - 1);
        expect(hex(withAcknowledged(frame, ackedUpTo))).toBe(hex(build({ ...head, ackedUpTo, ahead: ahead - ackedUpTo }, commands)));
      }),
    );
  });

  test("the next frame of a builder is not ordered because the one before was", () => {
    expect(readFrameHeader(build({ ...plain, ordered: true }, [nothing])).ordered).toBe(true);
    builder.begin("c", "", 9, 0, 1);
    builder.add(nothing);
    expect(readFrameHeader(builder.finish()).ordered).toBe(false);
  });

  test("a command that cannot be decoded does not disturb the others", () => {
    const frame = build(plain, [nothing, { type: "close-session", session: 5 }, nothing]);
    // The second command becomes one of an unknown type.
    frame[frame.length - 4] = 250;
    checkFrame(frame);
    const cursor = new FrameCursor();
    cursor.open(frame);
    expect(cursor.next() && cursor.decode()).toEqual(nothing);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.decode()).toThrow(CodecError);
    expect(cursor.next() && cursor.decode()).toEqual(nothing);
    expect(cursor.sequence).toBe(3);
  });

  test("a command with bytes to spare is refused", () => {
    const frame = Uint8Array.from([...build(plain, [nothing]).subarray(0, -2), 2, 0, 0]);
    const cursor = new FrameCursor();
    cursor.open(frame);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.decode()).toThrow(CodecError);
  });

  test.each<[string, Uint8Array]>([
    ["nothing", unhex("")],
    ["another version", unhex("03 0163 00 09 00 01 01 0100")],
    ["no caller", unhex("01 00 00 09 00 01 01 0100")],
    ["no commands", unhex("01 0163 00 09 00 01 00")],
    ["too many commands", unhex("01 0163 00 09 00 01 8108")],
    ["a sequence already acknowledged", unhex("01 0163 00 09 01 01 01 0100")],
    ["sequences above 2^53", unhex("01 0163 00 09 00 ffffffffffffff0f 02 0100 0100")],
    ["fewer commands than it says", unhex("01 0163 00 09 00 01 02 0100")],
    ["more commands than it says", unhex("01 0163 00 09 00 01 01 0100 0100")],
    ["an empty command", unhex("01 0163 00 09 00 01 01 00")],
    ["a command longer than the frame", unhex("01 0163 00 09 00 01 01 0200")],
    ["too many bytes", new Uint8Array(limits.maxFrameBytes + 1)],
  ])("a frame with %s is refused", (_, frame) => {
    expect(() => checkFrame(frame)).toThrow(CodecError);
  });

  test("a cursor on a damaged frame stops and says so", () => {
    const cursor = new FrameCursor();
    cursor.open(unhex("01 0163 00 09 00 01 02 0100 0500"));
    expect(cursor.next()).toBe(true);
    expect(cursor.next()).toBe(false);
    expect(cursor.damaged).toBe(true);
    expect(cursor.next()).toBe(false);
    cursor.open(build(plain, [nothing]));
    expect(cursor.damaged).toBe(false);
  });

  test("arbitrary bytes are a frame or are refused", () => {
    const valid = header.map((head) => build(head, [nothing, { type: "close-session", session: 3 }]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), valid), fc.nat(), fc.nat(255), (bytes, at, value) => {
        const copy = Uint8Array.from(bytes);
        if (copy.length > 0) copy[at % copy.length] = value;
        try {
          const { count } = checkFrame(copy);
          const cursor = new FrameCursor();
          cursor.open(copy);
          let seen = 0;
          while (cursor.next()) seen++;
          expect(seen).toBe(count);
          expect(cursor.damaged).toBe(false);
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("one command alone", () => {
    const frame = encodeSingleCommandFrame("key", "print", 12, nothing);
    expect(checkFrame(frame)).toMatchObject({
      caller: "key",
      fingerprint: "print",
      notAfter: 12,
      ackedUpTo: 0,
      firstSequence: 1,
      count: 1,
    });
  });
});

describe("entry payloads", () => {
  test("group time and frames come back", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }), (groupTime, frames) => {
        const payload = encodeEntryPayload(groupTime, frames);
        const read = readEntryPayload(payload);
        expect(read.groupTime).toBe(groupTime);
        expect(read.frames.map(hex)).toEqual(frames.map(hex));
      }),
    );
  });

  test("a payload that is none is refused", () => {
    const cursor = new EntryPayloadCursor();
    for (const bytes of ["", "02", "01", "0180"]) expect(() => cursor.open(unhex(bytes))).toThrow(CodecError);
    cursor.open(unhex("0105 02aabb 03aa"));
    expect(cursor.groupTime).toBe(5);
    expect(cursor.next()).toBe(true);
    expect([cursor.frameStart, cursor.frameEnd]).toEqual([3, 5]);
    expect(() => cursor.next()).toThrow(CodecError);
  });
});

describe("length prefixes", () => {
  test("frames come back from any cut of the stream", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 20 })),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map((frame) => prefixFrame([frame.subarray(0, 3), frame.subarray(3)])));
          const out: string[] = [];
          const decoder = new LengthPrefixDecoder(40, (frame) => out.push(hex(frame)));
          let position = 0;
          for (const cut of [...cuts, stream.length]) {
            decoder.feed(stream.subarray(position, position + cut));
            position += cut;
          }
          expect(out).toEqual(frames.map(hex));
          expect(decoder.idle).toBe(true);
        },
      ),
    );
  });

  test("a frame inside one chunk is not copied", () => {
    const chunk = prefixFrame([unhex("0102")]);
    const out: Uint8Array[] = [];
    new LengthPrefixDecoder(10, (frame) => out.push(frame)).feed(chunk);
    expect(out[0]?.buffer).toBe(chunk.buffer);
    expect(hex(framePrefix([unhex("01"), unhex("02")]))).toBe("02000000");
  });

  test("a frame that is too long is refused before it is gathered", () => {
    const decoder = new LengthPrefixDecoder(10, () => {});
    expect(() => decoder.feed(unhex("0b000000"))).toThrow(CodecError);
    decoder.feed(unhex("01000000ff"));
    expect(decoder.idle).toBe(false);
  });

  test("nothing is handed out after a stop, not even from the same chunk", () => {
    const out: string[] = [];
    const decoder: LengthPrefixDecoder = new LengthPrefixDecoder(10, (frame) => {
      out.push(hex(frame));
      decoder.stop();
    });
    decoder.feed(unhex("0100000001 0100000002"));
    decoder.feed(unhex("0100000003"));
    expect(out).toEqual(["01"]);
  });
});
