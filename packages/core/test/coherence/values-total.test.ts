import {
  ByteReader,
  ByteWriter,
  type CacheCommand,
  cacheModes,
  originWrites,
  decodeShardCommand,
  encodeShardCommand,
  encodeUtf8,
  type WriteCondition,
} from "@trivet/wire";
import { expect, test } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { tables } from "../../src/queues/keys.ts";
import { namespace, namespaceDefinition, ValueBench } from "./support/value-bench.ts";

const largest = Number.MAX_SAFE_INTEGER;
const longest = 2_147_483_647;

/** Anything that the codec lets through. */
function anyCommand(random: Prng, version: number): CacheCommand {
  const number = random.pick([0, 1, 2, 3, 5, largest]);
  const duration = random.pick([0, 0, 1, 50, longest]);
  const key = random.pick(["a", "b", "\u0000", "é".repeat(200)]);
  const known = random.chance(0.95) ? namespace : number;
  const fence = random.pick([null, null, { lock: "l", fence: number }]);
  const write = { namespace: known, key, version: random.pick([0, 1, number]), ifFence: fence };
  const condition = random.pick<WriteCondition>([
    { type: "always" },
    { type: "absent" },
    { type: "present" },
    { type: "version", version: number },
  ]);
  const holder = { holder: random.pick(["h", "i"]), incarnation: number };
  switch (random.below(13)) {
    case 0: {
      const bounds = { maxEntries: random.pick([0, 2, largest]), maxBytes: random.pick([0, 300, largest]) };
      const behind = { write: random.pick(originWrites), maxBehind: random.pick([0, 1, largest]) };
      const times = { ttlMs: duration, negativeTtlMs: duration, staleMs: duration, revalidateMs: duration };
      const definition = { ...namespaceDefinition, ...bounds, ...behind, ...times, version, mode: random.pick(cacheModes) };
      return { type: "configure-namespace", namespace: known, definition };
    }
    case 1:
      return random.chance(0.05)
        ? { type: "drop-namespace", namespace: known, version }
        : { type: random.pick(["lease-barrier", "lease-resume"]), term: number };
    case 2:
    case 3:
    case 4:
    case 5: {
      const value = random.pick([null, new Uint8Array(0), encodeUtf8("7"), new Uint8Array(200), encodeUtf8(String(largest))]);
      const tags = ["s", "t", "\u0000"].filter(() => random.chance(0.4));
      const token = random.pick([null, { version: number, asOf: number }]);
      return { type: "cache-put", ...write, value, tags, ttlMs: duration, condition, token };
    }
    case 6:
      return { type: "cache-delete", ...write, condition };
    case 7:
      return { type: "cache-increment", ...write, by: random.pick([-1, 1, largest, -largest]), ttlMs: duration };
    case 8:
      return { type: "cache-invalidate", namespace: known, tag: random.pick(["", "s", "t", "u"]) };
    case 9:
    case 10:
      return { type: "cache-expire", values: [number, 1, 2, 3, 4].map((of) => ({ namespace: known, key, version: of })) };
    case 11:
      return { type: "cache-flushed", values: [number, 1, 2, 3, 4].map((of) => ({ namespace: known, key, version: of })) };
    default:
      return { type: random.pick(["register-holder", "forget-holder"]), ...holder };
  }
}

test("whatever the codec lets through has an answer, and the store stays in order", () => {
  const answers = new Set<string>();
  const writer = new ByteWriter();
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Prng(seed);
    const bench = new ValueBench({}, { clearedPerEntry: 2, deadlinesPerEntry: 1, cacheBytes: 2000 });
    for (let step = 1; step <= 200; step++) {
      if (random.chance(0.2)) bench.now = Math.min(largest, bench.now + random.pick([1, 60, longest]));
      writer.reset();
      encodeShardCommand(writer, anyCommand(random, step + 1));
      const command = decodeShardCommand(new ByteReader(writer.finish()));
      answers.add(bench.do(command, "leader").type);
      bench.check();
      if (random.chance(0.1)) answers.add(bench.expire().type);
    }
    // What was cleared last is forgotten after it.
    bench.pass(600);
    bench.now = Math.min(largest, bench.now + longest);
    bench.pass(600);
    expect(bench.view.count(tables.job)).toBe(0);
    expect(bench.view.count(tables.invalidated)).toBe(0);
    bench.check();
  }
  const cache = [
    "cache-conflict",
    "cache-deleted",
    "cache-full",
    "cache-invalidated",
    "cache-not-a-number",
    "cache-unloaded",
    "cache-written",
  ];
  expect([...answers].sort()).toEqual([...cache, "counted", "fence-behind", "no-namespace"]);
});
