import { encodeUtf8, type Packing } from "@trivet/wire";
import { expect, test } from "vitest";
import { decodeValue, encodeValue } from "../../src/coherence/values/records.ts";
import { decodeQueued } from "../../src/coherence/values/outbox.ts";
import { keyOf, tables } from "../../src/queues/keys.ts";
import { guard } from "../raft/guard.ts";
import { namespace, ValueBench } from "./support/value-bench.ts";

const packing: Packing = "brotli";
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(200);

test("a compressed value is kept and told as it came, and says so; a plain one after it does not", () => {
  const b = new ValueBench();
  b.put("k", null, { value: bytes(30), packing });
  expect(b.record("k")).toMatchObject({ packing, value: bytes(30) });
  b.put("k", "plain");
  expect(b.record("k").packing).toBeUndefined();
  expect(b.get("k")).toBe("plain");
  b.check();
});

test("limits count what is stored", () => {
  const b = new ValueBench({ maxBytes: 60 });
  expect(b.put("k", null, { value: bytes(40), packing })).toMatchObject({ type: "cache-written" });
  expect(b.put("l", null, { value: bytes(40), packing })).toMatchObject({ type: "cache-full", limit: "bytes" });
  b.check();
});

guard("cache-packed-number-read", "what is compressed is no number, whatever its bytes look like", () => {
  const b = new ValueBench();
  b.put("n", null, { value: encodeUtf8("41"), packing });
  expect(b.increment("n", 1)).toEqual({ type: "cache-not-a-number" });
  b.put("n", "41");
  expect(b.increment("n", 1)).toMatchObject({ number: 42 });
});

test("a write that waits for its origin says how it is compressed, also after the store was opened again", () => {
  const b = new ValueBench({ write: "behind" });
  b.put("k", null, { value: bytes(30), packing });
  const stored = b.view.get(keyOf(tables.outbox, namespace, "k"));
  expect(stored === undefined ? null : decodeQueued(stored)).toMatchObject({ packing, value: bytes(30) });
  expect(b.shard.queuedWrite(namespace, "k")).toMatchObject({ packing });
  // A condition is about versions: it holds for a compressed value as for any other.
  const { version } = b.record("k");
  expect(b.put("k", "plain", { condition: { type: "version", version } })).toMatchObject({ type: "cache-written" });
  expect(b.shard.queuedWrite(namespace, "k")?.packing).toBeUndefined();
  b.check();
});

test("records of versions before compression are read, and written the same", () => {
  const record = { version: 3, value: encodeUtf8("v"), tags: ["t"], endsAt: 5 };
  // The form of the value: 0 = none, 1 = as it is.
  expect([...encodeValue(record)]).toEqual([1, 3, 5, 1, 1, 116, 1, 118]);
  expect(decodeValue(Uint8Array.of(1, 3, 5, 1, 1, 116, 1, 118))).toEqual(record);
  expect(() => decodeValue(Uint8Array.of(1, 3, 5, 1, 1, 116, 9, 118))).toThrow(/unknown form/);
});
