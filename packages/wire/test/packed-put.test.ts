import { type CachePut, encodeSingleCommandFrame, featureLevels, FrameCursor, levelOfFrame, packedPutNumber, readForm } from "@trivet/wire";
import { expect, test } from "vitest";

const put: CachePut = {
  type: "cache-put",
  namespace: 1,
  version: 1,
  key: "k",
  value: Uint8Array.of(1, 2, 3),
  tags: [],
  ttlMs: 0,
  condition: { type: "always" },
  token: null,
  ifFence: null,
};
const frameOf = (command: CachePut): Uint8Array => encodeSingleCommandFrame("c", "", 9, command);

test("a put of a compressed value needs the level of compression, one of a plain value does not", () => {
  expect(levelOfFrame(frameOf(put))).toBe(featureLevels.cache);
  expect(levelOfFrame(frameOf({ ...put, packing: "brotli" }))).toBe(featureLevels.packing);
});

test("nothing cannot be compressed, and in no way that is not known", () => {
  const cursor = new FrameCursor();
  const decode = (frame: Uint8Array): unknown => {
    cursor.open(frame);
    cursor.next();
    return cursor.decodeShard();
  };
  expect(decode(frameOf({ ...put, packing: "brotli" }))).toEqual({ ...put, packing: "brotli" });
  const frame = frameOf({ ...put, value: null, packing: "brotli" });
  expect(() => decode(frame)).toThrow(/nothing, and compressed/);
  const unknown = frameOf({ ...put, packing: "brotli" });
  unknown[unknown.indexOf(packedPutNumber) + 1] = 9;
  expect(() => decode(unknown)).toThrow(/packing/);
  expect(() => readForm(200)).toThrow(/unknown form/);
});
