import {
  type ClientFrame,
  CodecError,
  ResultsBuilder,
  ResultsCursor,
  type ServerFrame,
  cacheModes,
  clientFrameNumbers,
  closingCodes,
  decodeClientFrame,
  decodeServerFrame,
  encodeClientFrame,
  encodeServerFrame,
  formatRequestId,
  frameRefusals,
  limits,
  loadingWays,
  namespaceRefusals,
  parseRequestId,
  queueBackends,
  resolveRefusals,
  serverFrameNumbers,
  sessionEvents,
  sharedTraces,
} from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyBegun, anyResult, anyText, anyUint, hex, unhex } from "./arbitraries.ts";

const identity = anyText(limits.maxIdentityBytes);
const url = anyText(limits.maxUrlBytes);
const caller = anyText(limits.maxCallerBytes);
const detail = anyText(limits.maxDetailBytes);
const sessions = fc.array(anyUint, { maxLength: 20 });
const group = fc.integer({ min: 0, max: limits.maxShards });
const key = anyText(limits.maxKeyBytes);
const sequence = fc.integer({ min: 0, max: 2 ** 50 });

const anyId = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .filter((id) => id.some((byte) => byte > 0))
    .map(hex);
const anyTrace = fc.record({
  traceId: anyId(16),
  spanId: anyId(8),
  flags: fc.integer({ min: 0, max: 1 }),
  state: fc.string({ maxLength: limits.maxTraceStateBytes, unit: "grapheme-ascii" }),
});

const clientFrames: { readonly [T in ClientFrame["type"]]: fc.Arbitrary<Extract<ClientFrame, { type: T }>> } = {
  hello: fc.record({ type: fc.constant("hello"), protocol: anyUint, caller, label: identity, session: anyUint }),
  commands: fc.record({ type: fc.constant("commands"), frame: fc.uint8Array() }),
  "keep-alive": fc.record({ type: fc.constant("keep-alive"), batch: anyUint, sessions }),
  ping: fc.record({ type: fc.constant("ping"), nonce: anyUint }),
  "shard-commands": fc.record({ type: fc.constant("shard-commands"), group, frame: fc.uint8Array() }),
  "resolve-queue": fc.record({
    type: fc.constant("resolve-queue"),
    request: anyUint,
    name: anyText(limits.maxNameBytes),
    create: fc.boolean(),
  }),
  "await-queue": fc.record({
    type: fc.constant("await-queue"),
    request: anyUint,
    name: anyText(limits.maxNameBytes),
    waitMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
  }),
  "watch-queue": fc.record({ type: fc.constant("watch-queue"), queue: anyUint, group: key, consumer: key, on: fc.boolean() }),
  "consumer-begun": fc.record({ type: fc.constant("consumer-begun"), queue: anyUint, group: key, consumer: key, begun: anyBegun }),
  // What homes and holders say has tests of its own.
  "to-homes": fc.record({
    type: fc.constant("to-homes"),
    program: anyText(limits.maxCallerBytes, 1),
    messages: fc.array(
      fc.record({
        group,
        message: fc.record({ type: fc.constant("inv-ack" as const), term: anyUint, incarnation: anyUint, sequence: anyUint }),
      }),
      { maxLength: 8 },
    ),
  }),
  "resolve-namespace": fc.record({ type: fc.constant("resolve-namespace"), request: anyUint, name: anyText(limits.maxNameBytes) }),
  "load-cached": fc.record({
    type: fc.constant("load-cached"),
    request: anyUint,
    name: anyText(limits.maxNameBytes),
    key: anyText(limits.maxCacheKeyBytes),
    how: fc.constantFrom(...loadingWays),
    timeoutMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
  }),
  "invalidate-cache": fc.record({
    type: fc.constant("invalidate-cache"),
    request: anyUint,
    name: anyText(limits.maxNameBytes),
    tag: anyText(limits.maxTagBytes),
    timeoutMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
  }),
  traced: fc.record({
    type: fc.constant("traced"),
    // As they are written: recorded ones first, each once.
    traces: fc.array(anyTrace, { minLength: 1, maxLength: limits.maxTracesPerFrame }).map(sharedTraces),
    frame: fc.oneof(
      fc.record({ type: fc.constant("commands" as const), frame: fc.uint8Array() }),
      fc.record({ type: fc.constant("ping" as const), nonce: anyUint }),
    ),
  }),
};
const refused = {
  caller,
  firstSequence: anyUint,
  count: anyUint,
  code: fc.constantFrom(...frameRefusals),
  retryAfterMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
  detail,
};
const serverFrames: { readonly [T in ServerFrame["type"]]: fc.Arbitrary<Extract<ServerFrame, { type: T }>> } = {
  welcome: fc
    .record({
      type: fc.constant("welcome"),
      protocol: fc.oneof(anyUint, fc.integer({ min: 1, max: 3 })),
      cluster: identity,
      node: identity,
      leader: identity,
      leaderUrl: url,
      term: anyUint,
      groupTime: anyUint,
      callerWindow: anyUint,
      maxFrameBytes: anyUint,
      maxCommandsPerFrame: anyUint,
      queueDefaults: fc.record({ partitions: anyUint, visibilityMs: anyUint, paused: fc.boolean() }, { requiredKeys: [] }),
    })
    // Before protocol 3 none were told.
    .map((welcome) => (welcome.protocol >= 3 ? welcome : { ...welcome, queueDefaults: {} })),
  results: fc.record({
    type: fc.constant("results"),
    caller,
    results: fc.array(fc.record({ sequence, result: anyResult }), { maxLength: 8 }),
  }),
  "keep-alive-answer": fc.record({
    type: fc.constant("keep-alive-answer"),
    batch: anyUint,
    groupTime: anyUint,
    alive: sessions,
    lost: sessions,
  }),
  refused: fc.record({ type: fc.constant("refused"), ...refused }),
  "leader-changed": fc.record({ type: fc.constant("leader-changed"), leader: identity, leaderUrl: url, term: anyUint }),
  "session-event": fc.record({ type: fc.constant("session-event"), session: anyUint, event: fc.constantFrom(...sessionEvents) }),
  closing: fc.record({ type: fc.constant("closing"), code: fc.constantFrom(...closingCodes), detail }),
  pong: fc.record({ type: fc.constant("pong"), nonce: anyUint, groupTime: anyUint }),
  "shard-results": fc.record({
    type: fc.constant("shard-results"),
    group,
    caller,
    results: fc.array(fc.record({ sequence, bytes: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 8 }),
  }),
  "shard-refused": fc.record({ type: fc.constant("shard-refused"), group, ...refused }),
  "queue-resolved": fc.record({
    type: fc.constant("queue-resolved"),
    request: anyUint,
    queue: anyUint,
    version: anyUint,
    partitions: fc.integer({ min: 0, max: limits.maxPartitions }),
    shards: group,
    backend: fc.constantFrom(...queueBackends),
    refusal: fc.constantFrom(...resolveRefusals),
    detail,
  }),
  "queue-ready": fc.record({
    type: fc.constant("queue-ready"),
    queue: anyUint,
    partition: fc.integer({ min: -1, max: limits.maxPartitions - 1 }),
    group: key,
  }),
  "to-holders": fc.record({
    type: fc.constant("to-holders"),
    messages: fc.array(
      fc.record({
        group,
        message: fc.record({
          type: fc.constant("renewed" as const),
          term: anyUint,
          incarnation: anyUint,
          request: anyUint,
          sequence: anyUint,
        }),
      }),
      { maxLength: 8 },
    ),
  }),
  "namespace-resolved": fc.record({
    type: fc.constant("namespace-resolved"),
    request: anyUint,
    name: anyText(limits.maxNameBytes),
    namespace: anyUint,
    version: anyUint,
    mode: fc.constantFrom(...cacheModes),
    staleMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
    compressOver: fc.integer({ min: 0, max: limits.maxBodyBytes }),
    hasOrigin: fc.boolean(),
    revalidateMs: fc.integer({ min: 0, max: limits.maxDurationMs }),
    shards: group,
    refusal: fc.constantFrom(...namespaceRefusals),
    detail,
  }),
  "cache-loaded": fc.record({
    type: fc.constant("cache-loaded"),
    request: anyUint,
    refusal: fc.constantFrom(...namespaceRefusals),
    detail,
  }),
  "cache-invalidated": fc.record({
    type: fc.constant("cache-invalidated"),
    request: anyUint,
    shards: group,
    refusal: fc.constantFrom(...namespaceRefusals),
    detail,
  }),
};
const anyClientFrame: fc.Arbitrary<ClientFrame> = fc.oneof(...Object.values(clientFrames));
const anyServerFrame: fc.Arbitrary<ServerFrame> = fc.oneof(...Object.values(serverFrames));

describe("frames of the stream", () => {
  test.each(Object.keys(clientFrameNumbers) as ClientFrame["type"][])("every %s of a client comes back", (type) => {
    fc.assert(
      fc.property(clientFrames[type] as fc.Arbitrary<ClientFrame>, (frame) => {
        const bytes = encodeClientFrame(frame);
        expect(bytes[0]).toBe(clientFrameNumbers[type]);
        expect(decodeClientFrame(bytes)).toEqual(frame);
      }),
    );
  });

  test.each(Object.keys(serverFrameNumbers) as ServerFrame["type"][])("every %s of a node comes back", (type) => {
    fc.assert(
      fc.property(serverFrames[type] as fc.Arbitrary<ServerFrame>, (frame) => {
        const bytes = encodeServerFrame(frame);
        expect(bytes[0]).toBe(serverFrameNumbers[type]);
        expect(decodeServerFrame(bytes)).toEqual(frame);
      }),
    );
  });

  test.each<[string, (bytes: Uint8Array) => unknown, fc.Arbitrary<Uint8Array>]>([
    ["a client", decodeClientFrame, anyClientFrame.map(encodeClientFrame)],
    ["a node", decodeServerFrame, anyServerFrame.map(encodeServerFrame)],
  ])("arbitrary bytes of %s are a frame or are refused", (_, decode, valid) => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), valid), fc.nat(), fc.nat(255), fc.nat(), (bytes, at, value, cut) => {
        const copy = Uint8Array.from(bytes.subarray(0, cut % 4 === 0 ? cut % (bytes.length + 1) : bytes.length));
        if (copy.length > 0) copy[at % copy.length] = value;
        try {
          expect(decode(copy)).toHaveProperty("type");
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a frame with bytes to spare is refused", () => {
    expect(() => decodeClientFrame(unhex("040000"))).toThrow(CodecError);
    expect(() => decodeServerFrame(unhex("48000000"))).toThrow(CodecError);
  });

  test("a keepalive for too many sessions is refused without room being made for them", () => {
    expect(() => decodeClientFrame(unhex("0300ffffffff0f"))).toThrow(CodecError);
  });
});

describe("results", () => {
  test("consecutive answers cost one byte of sequence each, and a builder can be used again", () => {
    const builder = new ResultsBuilder();
    for (const name of ["first", "c"]) {
      builder.begin(name);
      for (const sequence of [1000, 1001, 1002, 999]) builder.add(sequence, { type: "done" });
    }
    expect(builder.count).toBe(4);
    expect(hex(builder.finish())).toBe("42 0163 d00f00 0200 0200 05 00".replaceAll(" ", ""));
    expect(builder.byteLength).toBe(12);
  });

  test("a cursor gives the answers one by one and can be used again", () => {
    const cursor = new ResultsCursor();
    for (let round = 0; round < 2; round++) {
      cursor.open(unhex("42 0163 d00f00 0500"));
      expect(cursor.caller).toBe("c");
      expect(cursor.next()).toEqual({ type: "done" });
      expect(cursor.sequence).toBe(1000);
      expect(cursor.next()).toEqual({ type: "done" });
      expect(cursor.sequence).toBe(997);
      expect(cursor.next()).toBeNull();
    }
    expect(() => cursor.open(unhex("41"))).toThrow(CodecError);
    cursor.open(unhex("42 0163 0100"));
    expect(() => cursor.next()).toThrow(CodecError);
  });
});

describe("request ids", () => {
  test("every request id comes back", () => {
    const key = fc.record({
      group: fc.nat(9999),
      caller: fc.string({ minLength: 1, maxLength: 64 }),
      sequence: fc.maxSafeNat(),
      notAfter: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(key, (key) => {
        expect(parseRequestId(formatRequestId(key))).toEqual(key);
      }),
    );
  });

  test.each(["", "0", "0.1.2.", "x.1.2.c", "0.zzzzzzzzzzz.1.c", "0.-1.2.c"])("%j is no request id", (text) => {
    expect(parseRequestId(text)).toBeNull();
  });
});
