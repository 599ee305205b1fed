import {
  ByteReader,
  ByteWriter,
  CodecError,
  decodeHolderMessage,
  decodeHomeMessage,
  encodeHolderMessage,
  encodeHomeMessage,
  grants,
  type HolderMessage,
  type HomeMessage,
  holderMessageNumbers,
  homeMessageNumbers,
  leaseRefusals,
  limits,
  lineName,
  packings,
} from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyText, anyUint, hex } from "./arbitraries.ts";

const line = fc.tuple(anyText(60, 1), anyText(60, 1)).map(([namespace, key]) => lineName(namespace, key));
const envelope = { term: anyUint, incarnation: anyUint };
const bytes = fc.uint8Array({ maxLength: 200 });
const recordFields = {
  version: anyUint,
  tags: fc.array(anyText(limits.maxTagBytes, 1), { maxLength: limits.maxTags }),
  ttlMs: anyUint,
  asOf: anyUint,
};
const record = fc.oneof(
  fc.record({ ...recordFields, value: fc.option(bytes, { nil: null }) }),
  fc.record({ ...recordFields, value: bytes, packing: fc.constantFrom(...packings) }),
);
const grant = { line, txn: anyUint, grant: fc.constantFrom(...grants), sequence: anyUint };
const scope = fc.oneof(
  fc.record({ type: fc.constant("line"), line }),
  fc.record({
    type: fc.constant("namespace"),
    namespace: anyText(limits.maxNameBytes, 1),
    tag: fc.option(anyText(limits.maxTagBytes, 1), { nil: null }),
  }),
  fc.constant({ type: "everything" } as const),
);

const ofHolders: { readonly [T in HolderMessage["type"]]: fc.Arbitrary<Extract<HolderMessage, { type: T }>> } = {
  renew: fc.record({ type: fc.constant("renew"), ...envelope, request: anyUint, processed: anyUint }),
  fetch: fc.record({ type: fc.constant("fetch"), ...envelope, line, txn: anyUint, confirmed: fc.boolean() }),
  read: fc.record({ type: fc.constant("read"), ...envelope, line, txn: anyUint }),
  write: fc.record({ type: fc.constant("write"), ...envelope, line, txn: anyUint, command: bytes, keep: fc.boolean() }),
  "inv-ack": fc.record({ type: fc.constant("inv-ack"), ...envelope, sequence: anyUint }),
  evict: fc.record({ type: fc.constant("evict"), ...envelope, line, fill: anyUint }),
  "flush-ack": fc.record({ type: fc.constant("flush-ack"), ...envelope }),
  leave: fc.record({ type: fc.constant("leave"), ...envelope }),
};
const ofHomes: { readonly [T in HomeMessage["type"]]: fc.Arbitrary<Extract<HomeMessage, { type: T }>> } = {
  renewed: fc.record({ type: fc.constant("renewed"), ...envelope, request: anyUint, sequence: anyUint }),
  refused: fc.record({
    type: fc.constant("refused"),
    ...envelope,
    request: anyUint,
    reason: fc.constantFrom(...leaseRefusals),
    retryMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
  }),
  data: fc.record({ type: fc.constant("data"), ...envelope, ...grant, record }),
  done: fc.record({
    type: fc.constant("done"),
    ...envelope,
    ...grant,
    outcome: fc.record({ version: fc.option(fc.integer({ min: 1 }), { nil: null }), answer: bytes }),
    record,
  }),
  inv: fc.record({ type: fc.constant("inv"), ...envelope, sequence: anyUint, scope }),
  share: fc.record({ type: fc.constant("share"), ...envelope, sequence: anyUint, line }),
  flush: fc.record({ type: fc.constant("flush"), ...envelope }),
};

function encoded<T>(value: T, encode: (writer: ByteWriter, value: T) => void): Uint8Array {
  const writer = new ByteWriter();
  encode(writer, value);
  return writer.finish();
}

function family<T>(
  name: string,
  numbers: Readonly<Record<string, number>>,
  all: Readonly<Record<string, fc.Arbitrary<T>>>,
  encode: (writer: ByteWriter, value: T) => void,
  decode: (reader: ByteReader) => T,
): void {
  describe(name, () => {
    test.each(Object.keys(numbers))("every %s comes back as it went", (type) => {
      const messages = all[type];
      if (messages === undefined) throw new Error(type);
      fc.assert(
        fc.property(messages, (message) => {
          const reader = new ByteReader(encoded(message, encode));
          expect(decode(reader)).toEqual(message);
          reader.expectEnd();
        }),
      );
    });

    test("damaged ones are refused or mean what their bytes say", () => {
      fc.assert(
        fc.property(fc.oneof(...Object.values(all)), fc.nat(500), fc.nat(255), fc.nat(500), (message, at, value, keep) => {
          const damaged = encoded(message, encode);
          damaged[at % damaged.length] = value;
          const reader = new ByteReader(damaged.subarray(0, 1 + (keep % damaged.length)));
          let read: T;
          try {
            read = decode(reader);
          } catch (error) {
            if (error instanceof CodecError) return;
            throw error;
          }
          expect(hex(encoded(read, encode))).toBe(hex(damaged.subarray(0, reader.position)));
        }),
        { numRuns: 2000 },
      );
    });

    test("each has a number of its own", () => {
      expect(new Set(Object.values(numbers)).size).toBe(Object.keys(numbers).length);
    });
  });
}

family<HolderMessage>("messages of holders", holderMessageNumbers, ofHolders, encodeHolderMessage, decodeHolderMessage);
family<HomeMessage>("messages of homes", homeMessageNumbers, ofHomes, encodeHomeMessage, decodeHomeMessage);
