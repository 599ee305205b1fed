import { CachedView, type OrderedView, Prng } from "@trivet/core";
import { expect, test } from "vitest";
import { keyOf, keysEnd, tables } from "../../src/queues/keys.ts";
import { guard } from "../raft/guard.ts";

/** A store that can give a transaction up. */
class Plain implements OrderedView {
  pairs = new Map<string, readonly [Uint8Array, Uint8Array]>();
  reads = 0;

  get(key: Uint8Array): Uint8Array | undefined {
    this.reads++;
    return this.pairs.get(key.join())?.[1];
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.pairs.set(key.join(), [key.slice(), value.slice()]);
  }
  remove(key: Uint8Array): boolean {
    return this.pairs.delete(key.join());
  }
  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    this.reads++;
    const all = [...this.pairs.values()].filter(([key]) => compare(key, from) >= 0 && compare(key, to) < 0);
    all.sort(([a], [b]) => compare(a, b));
    for (const [key, value] of all) if (!visit(key, value)) return;
  }
}

const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);
const used = [
  tables.meta,
  tables.partition,
  tables.group,
  tables.message,
  tables.calendar,
  tables.job,
  tables.caller,
  tables.parked,
] as const;

function randomKey(prng: Prng): Uint8Array {
  const table = prng.pick(used);
  if (table === tables.group) return keyOf(table, prng.below(2), prng.below(3) * 200, prng.pick(["a", "b", "long name"]));
  if (table === tables.caller) return keyOf(table, prng.pick(["x", "y"]));
  return keyOf(table, prng.below(4) * 100, prng.below(3));
}
function randomRange(prng: Prng): readonly [Uint8Array, Uint8Array] {
  const table = prng.pick(used);
  if (table === tables.calendar && prng.chance(0.5)) return [keyOf(table), keyOf(table, prng.below(5) * 100)];
  // Whatever the state machine asks for today, a view answers every range.
  if (prng.chance(0.3)) {
    const [a, b] = [
      prng.chance(0.5) ? keyOf(table) : randomKey(prng),
      prng.chance(0.5) ? keysEnd(randomKey(prng)) : keyOf(prng.pick(used)),
    ];
    return compare(a, b) < 0 ? [a, b] : [b, a];
  }
  if (prng.chance(0.1)) return [keyOf(tables.group, 1, prng.below(3) * 200), keysEnd(keyOf(tables.group, 1))];
  const prefix = prng.chance(0.5) ? keyOf(table) : keyOf(table, prng.below(2), prng.below(3) * 200);
  return [prefix, keysEnd(prefix)];
}

test("what is read through the cache is what is in the store, over transactions, some of which are given up", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed);
    const [plain, below] = [new Plain(), new Plain()];
    const cached = new CachedView(prng.pick([3, 50, 1_000]));
    for (let transaction = 0; transaction < 40; transaction++) {
      const before = [new Map(plain.pairs), new Map(below.pairs)] as const;
      cached.open(below);
      for (let step = prng.below(30); step > 0; step--) {
        const key = randomKey(prng);
        const roll = prng.next();
        if (roll < 0.35) {
          const value = new Uint8Array([prng.below(250), prng.below(250)]);
          const isNew = prng.chance(0.7) && !plain.pairs.has(key.join());
          plain.put(key, value);
          cached.put(key, value, isNew);
        } else if (roll < 0.5) expect(cached.remove(key)).toBe(plain.remove(key));
        else if (roll < 0.7) expect(cached.get(key)).toEqual(plain.get(key));
        else {
          const [from, to] = randomRange(prng);
          const most = prng.between(1, 5);
          const seen = (view: OrderedView): string[] => {
            const found: string[] = [];
            view.scan(from, to, (at, value) => found.push(`${at.join()}=${value.join()}`) < most);
            return found;
          };
          expect(seen(cached)).toEqual(seen(plain));
        }
      }
      if (prng.chance(0.2)) {
        cached.forget();
        [plain.pairs, below.pairs] = before;
      } else cached.flush();
      expect([...below.pairs.keys()].sort()).toEqual([...plain.pairs.keys()].sort());
    }
  }
});

test("small records, groups and the beginning of an unchanged calendar are read once", () => {
  const below = new Plain();
  const cached = new CachedView().open(below);
  const look = (): void => {
    cached.get(keyOf(tables.partition, 1, 0));
    cached.scan(keyOf(tables.group, 1, 0), keysEnd(keyOf(tables.group, 1, 0)), () => true);
    cached.scan(keyOf(tables.calendar), keyOf(tables.calendar, 100), () => true);
    cached.scan(keyOf(tables.job), keysEnd(keyOf(tables.job)), () => true);
  };
  look();
  const { reads } = below;
  look();
  cached.put(keyOf(tables.calendar, 500, 1), new Uint8Array([1]));
  look();
  expect(below.reads).toBe(reads);
});

guard("queue-parked-uncounted", "a table that is mostly empty is looked into once, and again when something was put there", () => {
  const below = new Plain();
  const cached = new CachedView().open(below);
  const prefix = keyOf(tables.parked, 1, 0, 1, "k");
  const parked = (): number => {
    let count = 0;
    cached.scan(prefix, keysEnd(prefix), () => ++count > 0);
    return count;
  };
  for (let time = 0; time < 3; time++) expect(parked()).toBe(0);
  expect(below.reads).toBe(1);
  const key = keyOf(tables.parked, 1, 0, 1, "k", 7);
  cached.put(key, new Uint8Array([1]), true);
  expect(parked()).toBe(1);
  expect(cached.remove(key)).toBe(true);
  const { reads } = below;
  cached.flush();
  cached.open(below);
  expect([parked(), below.reads]).toEqual([0, reads]);
  // A transaction that found some looks no more: the next one does.
  cached.put(key, new Uint8Array([1]));
  expect(parked()).toBe(1);
  cached.forget();
  expect(parked()).toBe(1);
});
