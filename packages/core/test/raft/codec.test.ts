import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import {
  decodeMembership,
  decodeRaftMessage,
  decodeSnapshotMeta,
  encodeMembership,
  encodeRaftMessage,
  encodeSnapshotMeta,
  logIndex,
  nodeId,
  Prng,
  term,
  type RaftMessage,
  type SnapshotMeta,
} from "@trivet/core";
import { append, configEntry, entry, membershipOf, message, vote, voteRequest } from "./build.ts";

const meta: SnapshotMeta = {
  id: "node-7:000123",
  index: logIndex(2 ** 40),
  term: term(12),
  membership: membershipOf("abc", "abd", "x", true),
  membershipIndex: logIndex(99),
  bytes: 2 ** 33,
};

const samples: readonly RaftMessage[] = [
  voteRequest("a", "b", 7, [123, 6], true),
  voteRequest("a", "b", 7, [123, 6], false, true),
  vote("a", "b", 7, true, true),
  vote("a", "b", 7, false),
  append("a", "b", 7, [2 ** 41, 6], [entry(2 ** 41 + 1, 7, "x"), configEntry(2 ** 41 + 2, 7, membershipOf("abc"))], 5),
  append("a", "b", 7, [0, 0], []),
  message("append-reply", "a", "b", 7, {
    rejected: true,
    recovering: false,
    awaiting: true,
    index: logIndex(9),
    hintIndex: logIndex(8),
    hintTerm: term(3),
  }),
  message("append-reply", "a", "b", 7, {
    rejected: false,
    recovering: true,
    awaiting: false,
    index: logIndex(9),
    hintIndex: logIndex(0),
    hintTerm: term(0),
  }),
  message("heartbeat", "a", "b", 7, { commit: logIndex(55), match: logIndex(0), round: 0 }),
  message("heartbeat-reply", "a", "b", 7, { round: 4711, recovering: true }),
  message("read", "a", "b", 7, { context: 2 ** 52 - 1, recovering: false, newcomer: false }),
  message("read", "a", "b", 7, { context: 0, recovering: true, newcomer: true }),
  message("read-reply", "a", "b", 7, { context: 1, index: logIndex(77), refused: false, recovering: true }),
  message("snapshot", "a", "b", 7, { meta, offset: 2 ** 32, data: new Uint8Array([1, 2, 3]), done: true }),
  message("snapshot-reply", "a", "b", 7, { id: "s", offset: 12, installed: true, index: logIndex(3) }),
  message("timeout-now", "a", "b", 7, {}),
  message("compare", "a", "b", 7, { pre: true, context: 2 ** 52 - 1 }),
  message("compare-reply", "a", "b", 7, {
    context: 3,
    lastIndex: logIndex(2 ** 41),
    lastTerm: term(6),
    lost: "tail",
    configurations: [
      { index: logIndex(0), membership: membershipOf("abc") },
      { index: logIndex(12), membership: membershipOf("abc", "abd", "x", true) },
    ],
  }),
];

const decode =
  (...bytes: number[]) =>
  () =>
    decodeRaftMessage(new ByteReader(Uint8Array.from(bytes)), nodeId("a"), nodeId("b"));

function encoded(m: RaftMessage): Uint8Array {
  const writer = new ByteWriter();
  encodeRaftMessage(writer, m);
  return writer.finish();
}

describe("messages on the wire", () => {
  test.each(samples.map((m) => [m.type, m] as const))("%s survives the way", (_, m) => {
    const reader = new ByteReader(encoded(m));
    expect(decodeRaftMessage(reader, nodeId("a"), nodeId("b"))).toEqual(m);
    reader.expectEnd();
  });

  test("every type has a sample", () => {
    expect(new Set(samples.map((m) => m.type)).size).toBe(13);
  });

  test("payloads and snapshot data are views, not copies", () => {
    for (const m of samples) {
      const bytes = encoded(m);
      const decoded = decodeRaftMessage(new ByteReader(bytes), nodeId("a"), nodeId("b"));
      if (decoded.type === "append") for (const e of decoded.entries) expect(e.payload.buffer).toBe(bytes.buffer);
      if (decoded.type === "snapshot") expect(decoded.data.buffer).toBe(bytes.buffer);
    }
  });

  test("several follow one another in one buffer", () => {
    const writer = new ByteWriter();
    for (const m of samples) encodeRaftMessage(writer, m);
    const reader = new ByteReader(writer.finish());
    expect(samples.map(() => decodeRaftMessage(reader, nodeId("a"), nodeId("b")))).toEqual(samples);
    reader.expectEnd();
  });

  test("anything cut short is refused", () => {
    for (const m of samples) {
      const bytes = encoded(m);
      for (let length = 0; length < bytes.length; length++) {
        expect(() => decodeRaftMessage(new ByteReader(bytes, 0, length), nodeId("a"), nodeId("b"))).toThrow(CodecError);
      }
    }
  });

  test("random bytes are refused or make a message that can be written again, and nothing else happens", () => {
    const prng = new Prng(3);
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: prng.below(40) }, (_, at) => (at === 0 ? prng.between(0, 13) : prng.below(256)));
      try {
        encodeRaftMessage(new ByteWriter(), decodeRaftMessage(new ByteReader(bytes), nodeId("a"), nodeId("b")));
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError);
      }
    }
  });

  test("unknown types, kinds and flags are refused", () => {
    expect(decode(99, 1)).toThrow("unknown Raft message 99");
    expect(decode(2, 1, 4)).toThrow("unknown flags 4");
    expect(decode(3, 1, 0, 0, 0, 1, 9, 1, 0)).toThrow("unknown entry kind 9");
  });
});

describe("configurations and snapshots", () => {
  test("survive", () => {
    const writer = new ByteWriter();
    encodeMembership(writer, meta.membership);
    encodeSnapshotMeta(writer, meta);
    const reader = new ByteReader(writer.finish());
    expect(decodeMembership(reader)).toEqual(meta.membership);
    expect(decodeSnapshotMeta(reader)).toEqual(meta);
    reader.expectEnd();
  });

  test.each([
    [{ ...membershipOf("ab", "", "b") }, "a voter is a learner too"],
    [{ ...membershipOf("aa") }, "a node is listed twice"],
    [{ ...membershipOf("", "", "b") }, "there is no voter"],
    [{ ...membershipOf("ab"), autoLeave: true }, "joint fields outside the joint phase"],
    [{ ...membershipOf("ab", "ac"), learnersNext: [nodeId("x")] }, "a node is to become a learner but is no outgoing voter"],
  ])("%j is refused: %s", (membership, problem) => {
    const writer = new ByteWriter();
    encodeMembership(writer, membership);
    expect(() => decodeMembership(new ByteReader(writer.finish()))).toThrow(`bad configuration: ${problem}`);
  });

  test("a config entry that makes no sense is refused before it is in a log", () => {
    const bad = append("a", "b", 1, [0, 0], [configEntry(1, 1, membershipOf("ab", "", "b"))]);
    expect(() => decodeRaftMessage(new ByteReader(encoded(bad)), nodeId("a"), nodeId("b"))).toThrow("bad configuration");
  });
});
