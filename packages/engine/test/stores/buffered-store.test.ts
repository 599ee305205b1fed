import { type OrderedView, Prng } from "@trivet/core";
import { BufferedStore, IoError, MemoryClock, MemoryCrypto, MemoryOrderedStores, type OrderedStore } from "@trivet/engine";
import { expect, describe, test } from "vitest";
import { guard } from "../hosts/guard.ts";

const crypto = new MemoryCrypto();
const checkedWith = (bytes: Uint8Array, start?: number): number => crypto.crc32(bytes, start);
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const all = (view: OrderedView, from = "\0", to = "\xff"): string[] => {
  const found: string[] = [];
  view.scan(bytes(from), bytes(to), (key, value) => {
    found.push(`${String.fromCharCode(...key)}=${String.fromCharCode(...value)}`);
    return true;
  });
  return found;
};

class Below {
  readonly clock = new MemoryClock();
  readonly stores = new MemoryOrderedStores(this.clock);

  open(): OrderedStore {
    let opened: OrderedStore | undefined;
    this.stores.open("below", (_error, store) => {
      opened = store;
    });
    this.clock.runUntilIdle();
    if (opened === undefined) throw new Error("it does not open");
    return opened;
  }

  /** Keys and values of it that were committed. */
  get content(): string[] {
    return this.stores.look("below", (view) => all(view)) ?? [];
  }
}

describe("a buffered store", () => {
  test("reads, scans and hashes as a plain one, whatever was changed, given up or flushed", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const prng = new Prng(seed);
      const [below, plain] = [new Below(), new Below()];
      const buffered = new BufferedStore(below.open(), { maxBytes: prng.pick([300, 2_000, 1_000_000]), checkedWith });
      const expected = plain.open();
      const key = (): string => `${prng.pick(["a", "b", "b\xff", "c"])}${prng.below(12)}`;
      for (let step = 0; step < 120; step++) {
        const changes = Array.from({ length: prng.below(8) }, () => ({
          key: key(),
          value: prng.chance(0.4) ? null : `v${prng.below(1_000)}`,
        }));
        const givenUp = prng.chance(0.15);
        const change = (view: OrderedView): readonly boolean[] => {
          const told = changes.map(({ key: name, value }) => {
            if (value === null) return view.remove(bytes(name));
            const isNew = view.get(bytes(name)) === undefined;
            view.put(bytes(name), bytes(value), isNew);
            return isNew;
          });
          if (givenUp) throw new Error("given up");
          return told;
        };
        const run = (store: OrderedStore): unknown => {
          try {
            return store.write(change);
          } catch (error) {
            return String(error);
          }
        };
        expect(run(buffered)).toEqual(run(expected));
        const [from, to] = [key(), key()].toSorted() as [string, string];
        expect(buffered.read((view) => all(view, from, to))).toEqual(expected.read((view) => all(view, from, to)));
        expect(buffered.contentHash()).toBe(expected.contentHash());
        if (prng.chance(0.1)) buffered.flush(() => undefined);
      }
      expect(buffered.read((view) => all(view))).toEqual(expected.read((view) => all(view)));
      const cut = buffered.cut();
      expect(cut.next(1_000_000)?.length ?? 0).toBe(plain.content.length);
      buffered.flush(() => undefined);
      expect(below.content).toEqual(plain.content);
    }
  });

  guard("store-cut-without-buffer", "a cut is of one moment, in pieces of any size, whatever is written, flushed or full meanwhile", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const prng = new Prng(seed);
      const below = new Below();
      const buffered = new BufferedStore(below.open(), { maxBytes: prng.pick([300, 1_000_000]), checkedWith });
      const change = (): void =>
        buffered.write((view) => {
          for (let left = prng.below(10); left > 0; left--) {
            const key = bytes(`${prng.pick(["a", "b", "b\xff", "c"])}${prng.below(20)}`);
            if (prng.chance(0.4)) view.remove(key);
            else view.put(key, bytes(`v${prng.below(1_000)}`), view.get(key) === undefined);
          }
        });
      for (let step = prng.below(20); step > 0; step--) {
        change();
        if (prng.chance(0.2)) buffered.flush(() => undefined);
      }
      const expected = buffered.read((view) => all(view));
      const commits = below.stores.unflushed;
      const cut = buffered.cut();
      expect(below.stores.unflushed).toBe(commits);
      const found: string[] = [];
      const maxBytes = prng.pick([1, 7, 40, 1_000_000]);
      for (let pairs = cut.next(maxBytes); pairs !== null; pairs = cut.next(maxBytes)) {
        expect(pairs.length).toBeGreaterThan(0);
        expect(pairs.slice(0, -1).reduce((sum, [key, value]) => sum + key.length + value.length, 0)).toBeLessThan(maxBytes);
        for (const [key, value] of pairs) found.push(`${String.fromCharCode(...key)}=${String.fromCharCode(...value)}`);
        change();
        if (prng.chance(0.3)) buffered.flush(() => undefined);
      }
      expect(found).toEqual(expected);
      cut.close();
      expect(cut.next(1)).toBeNull();
    }
  });

  test("what is put and removed before a flush never comes to the store below", () => {
    const below = new Below();
    const store = below.open();
    let puts = 0;
    const counting: OrderedStore = Object.assign(Object.create(store) as OrderedStore, {
      write: (change: (view: OrderedView) => unknown) =>
        store.write((view) =>
          change({
            get: (key) => view.get(key),
            put: (key, value) => {
              puts++;
              view.put(key, value);
            },
            remove: (key) => {
              puts++;
              return view.remove(key);
            },
            scan: (from, to, visit) => view.scan(from, to, visit),
          }),
        ),
    });
    const buffered = new BufferedStore(counting, { checkedWith });
    buffered.write((view) => view.put(bytes("stays"), bytes("1"), true));
    for (let n = 0; n < 100; n++) {
      buffered.write((view) => view.put(bytes(`k${n}`), bytes("x"), true));
      buffered.write((view) => view.remove(bytes(`k${n}`)));
    }
    buffered.flush(() => undefined);
    expect(puts).toBe(1);
    expect(below.content).toEqual(["stays=1"]);
  });

  test("without space below, what was committed stays, and no more is taken than there is room for", () => {
    const below = new Below();
    const store = below.open();
    let isFull = true;
    const filling: OrderedStore = Object.assign(Object.create(store) as OrderedStore, {
      write: (change: (view: OrderedView) => unknown) => {
        if (isFull) throw new IoError("no-space", "write", "below");
        return store.write(change);
      },
    });
    const buffered = new BufferedStore(filling, { maxBytes: 1_000, checkedWith });
    let taken = 0;
    const put = (): void => buffered.write((view) => view.put(bytes(`k${taken}`), bytes("x".repeat(100)), true));
    expect(() => {
      for (; taken < 100; taken++) put();
    }).toThrow(IoError);
    expect(taken).toBeGreaterThan(2);
    expect(taken).toBeLessThan(12);
    expect(() => buffered.flush(() => undefined)).toThrow(IoError);
    expect(buffered.read((view) => all(view))).toHaveLength(taken);
    isFull = false;
    put();
    buffered.flush(() => undefined);
    expect(below.content).toHaveLength(taken + 1);
  });

  guard("store-buffer-leaves-removed", "what is removed of what the store below holds is gone from it as well", () => {
    const below = new Below();
    const buffered = new BufferedStore(below.open());
    buffered.write((view) => view.put(bytes("k"), bytes("1")));
    buffered.flush(() => undefined);
    buffered.write((view) => view.remove(bytes("k")));
    buffered.flush(() => undefined);
    expect(below.content).toEqual([]);
  });

  guard("store-buffer-keeps-given-up", "a transaction that throws leaves nothing behind", () => {
    const below = new Below();
    const buffered = new BufferedStore(below.open());
    expect(() =>
      buffered.write((view) => {
        view.put(bytes("k"), bytes("1"));
        throw new Error("given up");
      }),
    ).toThrow("given up");
    buffered.flush(() => undefined);
    expect(below.content).toEqual([]);
  });

  test("a wrong word that a key is new is noticed where that is checked", () => {
    const buffered = new BufferedStore(new Below().open(), { checkedWith });
    buffered.write((view) => view.put(bytes("k"), bytes("1")));
    expect(() => buffered.write((view) => view.put(bytes("k"), bytes("2"), true))).toThrow("store-new-key-is-new");
  });
});
