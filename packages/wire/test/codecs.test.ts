import {
  ByteReader,
  ByteWriter,
  CodecError,
  type Command,
  type Result,
  commandNumbers,
  decodeCommand,
  decodeResult,
  encodeCommand,
  encodeResult,
  limits,
  resultNumbers,
} from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyCommand, anyResult, commandArbitraries, commandTypes, hex, resultArbitraries, resultTypes } from "./arbitraries.ts";

function encodedCommand(command: Command): Uint8Array {
  const writer = new ByteWriter();
  encodeCommand(writer, command);
  return writer.finish();
}
function encodedResult(result: Result): Uint8Array {
  const writer = new ByteWriter();
  encodeResult(writer, result);
  return writer.finish();
}

/** Runs `decode` on arbitrary bytes: a value whose encoding is those very bytes, or a CodecError, nothing else. */
function decodesOrRefuses<T>(bytes: Uint8Array, decode: (reader: ByteReader) => T, encode: (value: T) => Uint8Array): boolean {
  const reader = new ByteReader(bytes);
  try {
    const value = decode(reader);
    expect(hex(encode(value))).toBe(hex(bytes.subarray(0, reader.position)));
    return true;
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return false;
  }
}

/** Valid encodings with a few bytes changed, cut or added reach deeper than noise does. */
function damaged(encoded: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(encoded, fc.array(fc.tuple(fc.nat(4096), fc.nat(255)), { maxLength: 4 }), fc.nat(4096), fc.uint8Array({ maxLength: 4 }))
    .map(([bytes, changes, cut, extra]) => {
      const copy = Uint8Array.from(bytes);
      for (const [at, value] of changes) copy[at % copy.length] = value;
      const kept = cut % 3 === 0 ? copy.subarray(0, cut % (copy.length + 1)) : copy;
      return Uint8Array.from([...kept, ...extra]);
    });
}

describe("commands", () => {
  test.each(commandTypes)("every %s comes back as it went", (type) => {
    fc.assert(
      fc.property(commandArbitraries[type] as fc.Arbitrary<Command>, (command) => {
        const reader = new ByteReader(encodedCommand(command));
        expect(reader.u8()).toBe(commandNumbers[type]);
        reader.position = 0;
        expect(decodeCommand(reader)).toEqual(command);
        reader.expectEnd();
      }),
    );
  });

  test("arbitrary bytes decode to a command or are refused", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged(anyCommand.map(encodedCommand))), (bytes) => {
        decodesOrRefuses(bytes, decodeCommand, encodedCommand);
      }),
      { numRuns: 2000 },
    );
  });

  test("every command cut short is refused", () => {
    fc.assert(
      fc.property(anyCommand, fc.nat(), (command, cut) => {
        const bytes = encodedCommand(command);
        expect(() => decodeCommand(new ByteReader(bytes, 0, cut % bytes.length))).toThrow(CodecError);
      }),
    );
  });

  const actor = { session: 1, principal: "", owner: "o" };
  const acquire = { type: "acquire", actor, ttlMs: 0, waitMs: 0, reentrant: false, anonymous: false } as const;
  test.each<[string, Command]>([
    ["an empty name", { type: "release", actor, name: "", fence: 1, anonymous: false }],
    ["a name that is too long", { type: "release", actor, name: "é".repeat(257), fence: 1, anonymous: false }],
    ["an owner that is too long", { type: "release", actor: { ...actor, owner: "x".repeat(257) }, name: "a", fence: 1, anonymous: false }],
    ["no keys", { ...acquire, keys: [] }],
    [
      "too many keys",
      { ...acquire, keys: Array.from({ length: limits.maxKeysPerSet + 1 }, () => ({ name: "a", mode: "shared" as const, of: 0 })) },
    ],
    ["a size without a semaphore", { ...acquire, keys: [{ name: "a", mode: "shared", of: 3 }] }],
    ["a semaphore of no size", { ...acquire, keys: [{ name: "a", mode: "permit", of: 0 }] }],
    ["a semaphore that is too large", { ...acquire, keys: [{ name: "a", mode: "permit", of: limits.maxPermits + 1 }] }],
    ["a wait that no timer can hold", { ...acquire, keys: [{ name: "a", mode: "shared", of: 0 }], waitMs: 2 ** 31 }],
    ["a cancel that names nothing", { type: "cancel", actor, name: "", caller: "", sequence: 1 }],
    ["a caller that is too long", { type: "cancel", actor, name: "", caller: "c".repeat(65), sequence: 1 }],
    ["an address that is too long", { type: "set-node", node: "n", storage: "s", url: "u".repeat(1025), roles: "", voter: true }],
    ["a release of nothing", { type: "release-set", actor, locks: [] }],
    ["a fence that is no integer", { type: "release", actor, name: "a", fence: 1.5, anonymous: false }],
    ["text that is not Unicode", { type: "forget-node", node: "\ud800" }],
  ])("%s is refused by one side or the other", (_, command) => {
    expect(() => decodeCommand(new ByteReader(encodedCommand(command)))).toThrow(CodecError);
  });
});

describe("results", () => {
  test.each(resultTypes)("every %s comes back as it went", (type) => {
    fc.assert(
      fc.property(resultArbitraries[type] as fc.Arbitrary<Result>, (result) => {
        const reader = new ByteReader(encodedResult(result));
        expect(reader.u8()).toBe(resultNumbers[type]);
        reader.position = 0;
        expect(decodeResult(reader)).toEqual(result);
        reader.expectEnd();
      }),
    );
  });

  test("arbitrary bytes decode to a result or are refused", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged(anyResult.map(encodedResult))), (bytes) => {
        decodesOrRefuses(bytes, decodeResult, encodedResult);
      }),
      { numRuns: 2000 },
    );
  });

  test("a namespace's record has one encoding: defaults that are written out are refused", () => {
    const settings = {
      mode: "ttl",
      staleMs: 1,
      ttlMs: 1,
      negativeTtlMs: 1,
      maxEntries: 1,
      maxBytes: 1,
      copyEntries: 1,
      copyBytes: 1,
    } as const;
    const others = { policy: "lfu", origin: "none", write: "here", maxBehind: 0, revalidateMs: 0, compressOver: 1 } as const;
    const bytes = encodedResult({
      type: "namespace-defined",
      created: false,
      namespace: 1,
      name: "n",
      version: 1,
      settings: { ...settings, ...others },
      createdAt: 0,
    });
    expect(decodesOrRefuses(bytes, decodeResult, encodedResult)).toBe(true);
    // The last four bytes are `compressOver`, the mode, the policy and the time; the mask says that `compressOver` is there.
    const withCompressOver = (value: number): Uint8Array => bytes.with(bytes.length - 4, value);
    expect(decodesOrRefuses(withCompressOver(2), decodeResult, encodedResult)).toBe(true);
    expect(() => decodeResult(new ByteReader(withCompressOver(0)))).toThrow("not as they are stored");
  });

  test("the everyday answers take a few bytes", () => {
    expect(encodedResult({ type: "granted", fence: 100, owner: "", mode: "exclusive", depth: 1, more: [] })).toHaveLength(3);
    expect(encodedResult({ type: "released", fence: 100, remaining: 0, grantedTo: [] })).toHaveLength(3);
  });

  test("a detail that is too long is cut, not refused", () => {
    const detail = "漢".repeat(2000);
    const decoded = decodeResult(new ByteReader(encodedResult({ type: "malformed", detail })));
    expect(decoded).toEqual({ type: "malformed", detail: "漢".repeat(682) });
  });
});

test("numbers of commands and results are distinct", () => {
  for (const numbers of [Object.values(commandNumbers), Object.values(resultNumbers)]) {
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(Math.max(...numbers)).toBeLessThan(256);
  }
});
