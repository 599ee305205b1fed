import {
  ByteReader,
  ByteWriter,
  CodecError,
  type NewMessage,
  type ShardCommand,
  type ShardCommandType,
  type ShardResult,
  type ShardResultType,
  commandNumbers,
  decodeCommand,
  decodeShardCommand,
  decodeShardResult,
  encodeShardCommand,
  encodeShardResult,
  encodeSingleCommandFrame,
  featureLevels,
  formerShardCommandNumbers,
  levelOfCommand,
  levelOfFrame,
  limits,
  resultNumbers,
  settlements,
  settleOutcomes,
  shardCommandNumbers,
  shardResultNumbers,
} from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyBegun, anyText, anyUint, definition, hex } from "./arbitraries.ts";
import { cacheCommands, cacheResults } from "./cache-arbitraries.ts";

const uint = anyUint;
const duration = fc.integer({ min: 0, max: limits.maxDurationMs });
const key = anyText(limits.maxKeyBytes);
const name = anyText(limits.maxNameBytes, 1);
const partition = fc.integer({ min: 0, max: limits.maxPartitions - 1 });
const headers = fc.array(fc.tuple(anyText(64, 1), anyText(64)), { maxLength: 4 });
const body = fc.uint8Array({ maxLength: 300 });
const receipt = fc.record({ partition, sequence: uint, acquired: uint, incarnation: anyUint.map((number) => Math.max(1, number)) });
const start = fc.constantFrom({ type: "earliest" } as const, { type: "latest" } as const);
const message: fc.Arbitrary<NewMessage> = fc.record({
  key,
  body,
  headers,
  priority: fc.integer({ min: 0, max: 3 }),
  delayMs: duration,
  dueAt: uint,
  ttlMs: uint,
  dedupId: key,
});
const fence = fc.record({ lock: name, fence: uint });
const some = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(of, { minLength: 1, maxLength: 5 });

const commands: { readonly [T in ShardCommandType]: fc.Arbitrary<Extract<ShardCommand, { type: T }>> } = {
  "configure-queue": fc.record({ type: fc.constant("configure-queue"), queue: uint, definition }),
  "drop-queue": fc.record({ type: fc.constant("drop-queue"), queue: uint, version: uint }),
  produce: fc.record({
    type: fc.constant("produce"),
    queue: uint,
    partition,
    version: uint,
    messages: some(message),
    ifFence: fc.option(fence, { nil: null }),
  }),
  "create-group": fc.record({ type: fc.constant("create-group"), queue: uint, partition, group: key, start }),
  "delete-group": fc.record({ type: fc.constant("delete-group"), queue: uint, partition, group: key }),
  consume: fc.record({
    type: fc.constant("consume"),
    queue: uint,
    partition,
    group: key,
    consumer: key,
    maxMessages: fc.integer({ min: 1, max: limits.maxMessagesPerCommand }),
    maxBytes: uint,
    visibilityMs: duration,
    autoAck: fc.boolean(),
    start,
  }),
  settle: fc.record({
    type: fc.constant("settle"),
    queue: uint,
    group: key,
    settlement: fc.constantFrom(...settlements),
    delayMs: fc.integer({ min: -1, max: limits.maxDurationMs }),
    reason: anyText(200),
    receipts: some(receipt),
  }),
  "expire-leases": fc.record({
    type: fc.constant("expire-leases"),
    leases: some(fc.record({ queue: uint, group: key, receipt, extended: uint })),
  }),
  "consumer-gone": fc.record({
    type: fc.constant("consumer-gone"),
    queue: uint,
    consumer: anyText(limits.maxKeyBytes, 1),
    begun: fc.option(anyBegun, { nil: null }),
  }),
  "adopt-rules": fc.record({ type: fc.constant("adopt-rules"), rules: anyUint.map((number) => Math.max(1, number)) }),
  "purge-queue": fc.record({ type: fc.constant("purge-queue"), queue: uint, partition, dead: fc.boolean() }),
  redrive: fc.record({
    type: fc.constant("redrive"),
    queue: uint,
    partition,
    sequences: fc.array(uint, { maxLength: 5 }),
    limit: uint,
    bounded: fc.boolean(),
  }),
  "raise-fence": fc.record({ type: fc.constant("raise-fence"), lock: name, fence: uint }),
  "fence-floor": fc.record({ type: fc.constant("fence-floor"), fence: uint }),
  ...cacheCommands,
};
const handedOut = fc.record({
  partition: uint,
  sequence: uint,
  acquired: uint,
  incarnation: uint,
  deliveries: uint,
  key,
  priority: fc.integer({ min: 0, max: 3 }),
  producedAt: uint,
  headers,
  body,
});
const results: { readonly [T in ShardResultType]: fc.Arbitrary<Extract<ShardResult, { type: T }>> } = {
  produced: fc.record({
    type: fc.constant("produced"),
    partition: uint,
    messages: some(fc.record({ sequence: uint, duplicate: fc.boolean() })),
  }),
  "queue-full": fc.record({ type: fc.constant("queue-full"), limit: fc.constantFrom("messages", "bytes"), max: uint }),
  "handed-out": fc.record({
    type: fc.constant("handed-out"),
    leaseMs: duration,
    messages: fc.array(handedOut, { maxLength: 4 }),
    more: fc.boolean(),
  }),
  settled: fc.record({ type: fc.constant("settled"), outcomes: some(fc.constantFrom(...settleOutcomes)) }),
  "not-configured": fc.record({ type: fc.constant("not-configured"), queue: uint, version: uint }),
  "fence-behind": fc.record({ type: fc.constant("fence-behind"), lock: name, highest: uint }),
  counted: fc.record({ type: fc.constant("counted"), count: uint }),
  "no-group": fc.record({ type: fc.constant("no-group"), group: key }),
  ...cacheResults,
};

function encoded<T>(value: T, encode: (writer: ByteWriter, value: T) => void): Uint8Array {
  const writer = new ByteWriter();
  encode(writer, value);
  return writer.finish();
}

/** A few bytes of a good encoding changed, or cut off. */
function damaged(bytes: Uint8Array, at: number, value: number, keep: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at % copy.length] = value;
  return copy.subarray(0, 1 + (keep % copy.length));
}

function survives<T>(bytes: Uint8Array, decode: (reader: ByteReader) => T, encode: (writer: ByteWriter, value: T) => void): void {
  const reader = new ByteReader(bytes);
  let value: T;
  try {
    value = decode(reader);
  } catch (error) {
    if (error instanceof CodecError) return;
    throw error;
  }
  expect(hex(encoded(value, encode))).toBe(hex(bytes.subarray(0, reader.position)));
}

describe("commands of the shards", () => {
  test.each(Object.keys(shardCommandNumbers) as ShardCommandType[])("every %s comes back as it went", (type) => {
    fc.assert(
      fc.property(commands[type] as fc.Arbitrary<ShardCommand>, (command) => {
        const reader = new ByteReader(encoded(command, encodeShardCommand));
        expect(decodeShardCommand(reader)).toEqual(command);
        reader.expectEnd();
      }),
    );
  });

  test("damaged ones are refused or mean what their bytes say", () => {
    const any = fc.oneof(...Object.values(commands)) as fc.Arbitrary<ShardCommand>;
    fc.assert(
      fc.property(any, fc.nat(2000), fc.nat(255), fc.nat(2000), (command, at, value, keep) => {
        survives(damaged(encoded(command, encodeShardCommand), at, value, keep), decodeShardCommand, encodeShardCommand);
      }),
      { numRuns: 2000 },
    );
  });

  test("a namespace that is revalidated after no time is refused: without the flag it means the same", () => {
    const times = { staleMs: 1, ttlMs: 1, negativeTtlMs: 1, revalidateMs: 1 };
    const namespace = { ...times, name: "n", version: 1, mode: "strict", maxEntries: 1, maxBytes: 1, write: "here", maxBehind: 0 } as const;
    const bytes = encoded({ type: "configure-namespace", namespace: 1, definition: namespace }, encodeShardCommand);
    expect(bytes.at(-1)).toBe(1);
    expect(() => decodeShardCommand(new ByteReader(bytes.with(bytes.length - 1, 0)))).toThrow("revalidated after no time");
  });

  test("their numbers are their own: in group 0 none of them means anything, nor the other way round", () => {
    for (const number of [...Object.values(shardCommandNumbers), ...Object.values(formerShardCommandNumbers)]) {
      expect(Object.values(commandNumbers)).not.toContain(number);
      expect(() => decodeCommand(new ByteReader(Uint8Array.of(number, 0, 0)))).toThrow(CodecError);
    }
    for (const number of Object.values(commandNumbers)) {
      expect(() => decodeShardCommand(new ByteReader(Uint8Array.of(number, 0, 0)))).toThrow(CodecError);
    }
    for (const number of Object.values(shardResultNumbers)) expect(Object.values(resultNumbers)).not.toContain(number);
  });

  test("those of before receipts told the incarnation of their group, or what was begun, are still read", () => {
    const receipts = [{ partition: 2, sequence: 3, acquired: 4, incarnation: 0 }];
    const [receipt] = receipts;
    if (receipt === undefined) throw new Error("there is one");
    const former: readonly (readonly [ShardCommand, readonly number[]])[] = [
      [
        { type: "settle", queue: 1, group: "g", settlement: "ack", delayMs: -1, reason: "", receipts },
        [70, 1, 1, 103, 0, 0, 0, 1, 2, 3, 4],
      ],
      [{ type: "expire-leases", leases: [{ queue: 1, group: "g", receipt, extended: 5 }] }, [71, 1, 1, 1, 103, 2, 3, 4, 5]],
      [{ type: "consumer-gone", queue: 1, consumer: "c", begun: null }, [72, 1, 1, 99]],
    ];
    for (const [command, bytes] of former) {
      expect(decodeShardCommand(new ByteReader(Uint8Array.from(bytes)))).toEqual(command);
      expect([...encoded(command, encodeShardCommand)]).toEqual(bytes);
    }
  });

  test("a redrive that keeps to the length of its queue needs the level of that; one of before is still read", () => {
    const redrive = { type: "redrive", queue: 1, partition: 2, sequences: [4], limit: 3 } as const;
    expect(levelOfFrame(encodeSingleCommandFrame("c", "", 9, { ...redrive, bounded: true }))).toBe(featureLevels.room);
    const former: ShardCommand = { ...redrive, bounded: false };
    expect(levelOfFrame(encodeSingleCommandFrame("c", "", 9, former))).toBe(featureLevels.base);
    expect([...encoded(former, encodeShardCommand)]).toEqual([74, 1, 2, 3, 1, 4]);
    expect(decodeShardCommand(new ByteReader(Uint8Array.of(74, 1, 2, 3, 1, 4)))).toEqual(former);
  });

  test("what a lost consumer had begun, and rules, go only into a log whose members know them", () => {
    const gone: ShardCommand = { type: "consumer-gone", queue: 1, consumer: "c", begun: { messages: 2, partitions: [0, 3] } };
    const bytes = encoded(gone, encodeShardCommand);
    expect([...bytes]).toEqual([80, 1, 1, 99, 2, 2, 0, 3]);
    expect(levelOfCommand(bytes[0] ?? 0)).toBe(featureLevels.begun);
    expect(levelOfCommand(encoded({ ...gone, begun: null }, encodeShardCommand)[0] ?? 0)).toBe(featureLevels.base);
    expect(levelOfCommand(encoded({ type: "adopt-rules", rules: 1 }, encodeShardCommand)[0] ?? 0)).toBe(featureLevels.begun);
    expect(() => decodeShardCommand(new ByteReader(Uint8Array.of(80, 1, 1, 99, 2, 2, 3, 3)))).toThrow("partition 3 out of order");
  });

  test("what is too much is refused on the way out and on the way in", () => {
    const receipts = Array.from({ length: limits.maxMessagesPerCommand + 1 }, () => ({
      partition: 0,
      sequence: 1,
      acquired: 1,
      incarnation: 1,
    }));
    const settle: ShardCommand = { type: "settle", queue: 1, group: "", settlement: "ack", delayMs: 0, reason: "", receipts };
    expect(() => encoded(settle, encodeShardCommand)).toThrow("1 to 1024");
    const none: ShardCommand = { ...settle, receipts: [] };
    expect(() => encoded(none, encodeShardCommand)).toThrow("0 where 1");
    const large: NewMessage = {
      key: "",
      body: new Uint8Array(limits.maxBodyBytes + 1),
      headers: [],
      priority: 0,
      delayMs: 0,
      dueAt: 0,
      ttlMs: 0,
      dedupId: "",
    };
    const produce: ShardCommand = { type: "produce", queue: 1, partition: 0, version: 1, messages: [large], ifFence: null };
    expect(() => decodeShardCommand(new ByteReader(encoded(produce, encodeShardCommand)))).toThrow(CodecError);
  });
});

describe("answers of the shards", () => {
  test.each(Object.keys(shardResultNumbers) as ShardResultType[])("every %s comes back as it went", (type) => {
    fc.assert(
      fc.property(results[type] as fc.Arbitrary<ShardResult>, (result) => {
        const reader = new ByteReader(encoded(result, encodeShardResult));
        expect(decodeShardResult(reader)).toEqual(result);
        reader.expectEnd();
      }),
    );
  });

  test("damaged ones are refused or mean what their bytes say", () => {
    const any = fc.oneof(...Object.values(results)) as fc.Arbitrary<ShardResult>;
    fc.assert(
      fc.property(any, fc.nat(2000), fc.nat(255), fc.nat(2000), (result, at, value, keep) => {
        survives(damaged(encoded(result, encodeShardResult), at, value, keep), decodeShardResult, encodeShardResult);
      }),
      { numRuns: 2000 },
    );
  });
});
