import { describe, expect, it } from "vitest";
import type { CacheClient } from "../../src/driver/cache-client.ts";
import { staleReads, warmReader } from "../../src/driver/cache-stale.ts";

const options = { keys: 4, writes: 12, isCut: false };

/** A store, and a reader of it that keeps copies or does not, and hears of writes or does not. */
function pair(keeps: boolean, hears: boolean, peeks = true): { readonly reader: CacheClient; readonly writer: CacheClient } {
  const store = new Map<string, string>();
  const copies = new Map<string, string>();
  const common = { textOf: (answer: unknown) => answer as string | null, counts: () => null, close: () => Promise.resolve() };
  const read = (key: string): string | null => {
    const value = copies.get(key) ?? store.get(key) ?? null;
    if (keeps && value !== null) copies.set(key, value);
    return value;
  };
  const write = (key: string, value: string): void => {
    store.set(key, value);
    if (hears) copies.delete(key);
  };
  return {
    reader: {
      ...common,
      peek: peeks ? (key) => copies.get(key) : null,
      get: (key) => Promise.resolve(read(key)),
      set: () => Promise.reject(new Error("the reader writes nothing")),
    },
    writer: {
      ...common,
      peek: null,
      get: (key) => Promise.resolve(store.get(key) ?? null),
      set: (key, value) => Promise.resolve(write(key, value)),
    },
  };
}

async function run(...settings: Parameters<typeof pair>): Promise<Awaited<ReturnType<typeof staleReads>>> {
  const { reader, writer } = pair(...settings);
  await warmReader(reader, writer, options.keys);
  return staleReads(reader, writer, options);
}

describe("stale reads are counted beside the reads that could have been stale", () => {
  it("a reader with copies that hears of writes: all could, none was", async () => {
    expect(await run(true, true)).toMatchObject({ reads: 12, held: 12, stale: 0, no_answer: 0 });
  });
  it("a reader with copies that hears of nothing: all could, and were", async () => {
    expect(await run(true, false)).toMatchObject({ reads: 12, held: 12, stale: 12 });
  });
  it("a reader without copies is never stale, and none of its reads could be", async () => {
    expect(await run(false, true)).toMatchObject({ reads: 12, held: 0, stale: 0 });
  });
  it("of a reader that cannot be asked it is not known", async () => {
    expect(await run(true, true, false)).toMatchObject({ held: null, stale: 0 });
  });
});
