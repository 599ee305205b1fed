import { describe, expect, test } from "vitest";
import type { Lock } from "../../src/locks/lock.ts";
import { LockTable } from "../../src/locks/lock-table.ts";
import { PackedHolds } from "../../src/locks/packed-holds.ts";
import { Prng } from "../../src/kernel/prng.ts";
import { compareNames } from "../../src/system/names.ts";

const prefixes = ["", "a", "a/", "b/1", "é", "\u{1F600}", "\uffee"];

function randomName(prng: Prng): string {
  return `${prng.pick(["a/", "a/", "a/", "b/", "é", "\u{1F600}", "\uffee"])}${prng.below(2000)}`;
}

function plainName(prng: Prng): string {
  return `${prng.pick(["a/", "b/"])}${prng.below(2000)}`;
}

function namesOf(locks: readonly Lock[]): string[] {
  return locks.map(({ name }) => name);
}

function emptyTable(): LockTable {
  const packed = new PackedHolds(() => {
    throw new Error("none is packed");
  });
  return new LockTable(packed);
}

describe("the table of names in use", () => {
  test.each([
    ["plain names", plainName],
    ["names of any kind", randomName],
  ])("a page shows what sorting all names would, whatever waits to be put in order: %s", (_kind, nameOf) => {
    for (let seed = 1; seed <= 20; seed++) {
      const prng = new Prng(seed);
      const table = emptyTable();
      const used = new Map<string, Lock>();
      for (let step = 0; step < 3000; step++) {
        const name = nameOf(prng);
        const known = used.get(name);
        if (known === undefined) {
          expect(table.get(name)).toBeUndefined();
          used.set(name, table.obtain(name));
        } else {
          expect(table.get(name)).toBe(known);
          if (prng.chance(0.6)) {
            table.drop(known);
            used.delete(name);
          }
        }
        if (prng.chance(0.02)) table.index.arrange(prng.between(1, 700));
        if (!prng.chance(0.02)) continue;
        const prefix = prng.pick(prefixes);
        const cursor = prng.chance(0.3) ? "" : nameOf(prng);
        const limit = prng.between(1, 50);
        const expected = [...used.keys()].filter((each) => each.startsWith(prefix) && compareNames(each, cursor) > 0).sort(compareNames);
        expect(namesOf(table.index.page(prefix, cursor, limit))).toEqual(expected.slice(0, limit));
      }
      expect(table.size).toBe(used.size);
      expect(namesOf([...table.values()]).sort()).toEqual([...used.keys()].sort());
      while (!table.index.arrange(100));
      expect(namesOf(table.index.page("", "", 10_000))).toEqual([...used.keys()].sort(compareNames));
    }
  });

  test("a walk meets every lock that is there all the time, while others come and go and the table grows", () => {
    const prng = new Prng(7);
    const table = emptyTable();
    const staying = Array.from({ length: 5000 }, (_, i) => table.obtain(`stays/${i}`));
    const passing: Lock[] = [];
    const met = new Set<Lock>();
    for (const lock of table.values()) {
      expect(met.has(lock)).toBe(false);
      met.add(lock);
      for (let i = prng.below(8); i > 0; i--) passing.push(table.obtain(`passes/${passing.length}`));
      const leaving = prng.chance(0.5) ? passing.shift() : undefined;
      if (leaving !== undefined) table.drop(leaving);
    }
    expect(staying.every((lock) => met.has(lock))).toBe(true);
  });
});
