import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { compareHitRatios } from "../../src/eviction/hit-ratio.ts";
import { hitRatio } from "../../src/eviction/replay.ts";
import { TraceFolder } from "../../src/eviction/traces.ts";
import { zipfKeys } from "../../src/eviction/zipf.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-traces-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("traces of caches", () => {
  test("one integer a line, numbered by first appearance", () => {
    writeFileSync(join(folder, "gli.trace.gz"), gzipSync("7\n*\n 12 \n7\n\n3\n12\n"));
    expect(new TraceFolder(folder).load("gli")).toEqual({ requests: Int32Array.of(0, 1, 0, 2, 1), unique: 3 });
  });

  test("eight bytes a key, of which two differ beyond what a number holds", () => {
    const bytes = Buffer.alloc(24);
    bytes.writeBigInt64BE(2n ** 60n, 0);
    bytes.writeBigInt64BE(2n ** 60n + 1n, 8);
    bytes.writeBigInt64BE(2n ** 60n, 16);
    writeFileSync(join(folder, "trace_vaultservice.gz"), gzipSync(bytes));
    const traces = new TraceFolder(folder);
    expect(traces.load("corda")).toEqual({ requests: Int32Array.of(0, 1, 0), unique: 2 });
    const mixed = traces.load("corda-loop-corda");
    expect([mixed.requests.length, mixed.unique]).toEqual([3 + 5 * 500 * 1011 + 3, 2 + 1011]);
  });

  test("what is missing or damaged is named, with what to do", () => {
    const nowhere = join(folder, "nowhere");
    expect(() => new TraceFolder(nowhere).load("gli")).toThrow(`no folder ${nowhere}`);
    expect(() => compareHitRatios([], nowhere, () => {})).toThrow("--traces DIR");
    expect(() => new TraceFolder(folder).load("gli")).toThrow("gli.trace.gz");
    writeFileSync(join(folder, "web12.trace.xz"), "no such format");
    expect(() => new TraceFolder(folder).load("web12")).toThrow("web12.trace.xz");
    writeFileSync(join(folder, "gli.trace.gz"), gzipSync("1\ntwo\n"));
    expect(() => new TraceFolder(folder).load("gli")).toThrow('not a key: "two"');
  });

  test("a loop is made, and replayed without a hit by LRU", () => {
    const loop = new TraceFolder(folder).load("loop");
    expect([loop.requests.length, loop.unique]).toEqual([505_500, 1011]);
    expect(hitRatio(loop, "lru", 512, 1)).toBe(0);
    expect(hitRatio(loop, "lru", 1011, 1)).toBeCloseTo((100 * 499) / 500);
  });

  test("a trace that is reached is said to be, and one that is missed makes the command fail", () => {
    const said: string[] = [];
    expect(compareHitRatios(["loop"], folder, (line) => said.push(line))).toBe(true);
    expect(said.at(-1)).toContain("loop @512: reached");
    const once = Array.from({ length: 5000 }, (_, key) => key).join("\n");
    writeFileSync(join(folder, "gli.trace.gz"), gzipSync(once));
    expect(compareHitRatios(["gli"], folder, (line) => said.push(line))).toBe(false);
    expect(said.at(-1)).toContain("gli @1000: MISSED");
  });
});

test("Zipf: the r-th key is asked for in proportion to 1 / r^exponent, the same for the same seed", () => {
  const counts = new Map<number, number>();
  const keys = zipfKeys(100, 0.99, 200_000, 3);
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  for (const rank of [2, 3, 10]) expect((counts.get(0) ?? 0) / (counts.get(rank - 1) ?? 0) / rank ** 0.99).toBeCloseTo(1, 1);
  expect(keys.every((key) => key >= 0 && key < 100)).toBe(true);
  expect(zipfKeys(100, 0.99, 200_000, 3)).toEqual(keys);
});
