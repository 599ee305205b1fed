import type { OrderedView } from "@trivet/core";
import { StoreDamaged } from "../ports/ordered-store.ts";
import type { OrderedStore, OrderedStores } from "../ports/ordered-store.ts";
import { failure, finished, pattern, result } from "./api.ts";
import type { TestApi } from "./api.ts";

/** Stores, and what a test does to them from outside. */
export interface StoreLab {
  readonly stores: OrderedStores;
  /** Bit rot in the value of a pair of a closed store. `value` occurs in no other pair. */
  damage(store: string, key: Uint8Array, value: Uint8Array): void;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : String.fromCharCode(...value));
const first: Uint8Array = bytes("\0");
const last: Uint8Array = new Uint8Array(8).fill(255);

const same = (a: Uint8Array | undefined, b: Uint8Array): boolean => a?.length === b.length && a.every((byte, i) => byte === b[i]);

const open = (stores: OrderedStores, name = "shard-1"): Promise<OrderedStore> => result((done) => stores.open(name, done));
const close = (store: OrderedStore): Promise<void> => finished((done) => store.close(done));
const put = (store: OrderedStore, ...pairs: readonly (readonly [string, string])[]): void =>
  store.write((view) => {
    for (const [key, value] of pairs) view.put(bytes(key), bytes(value));
  });
/** Key and value of each pair, as text. */
function pairsOf(view: OrderedView, from = first, to = last, limit = Infinity): string[] {
  const found: string[] = [];
  view.scan(from, to, (key, value) => {
    found.push(`${text(key)}=${text(value)}`);
    return found.length < limit;
  });
  return found;
}
const contents = (store: OrderedStore): string[] => store.read((view) => pairsOf(view));
function thrown(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** What every OrderedStores must do. `make` gives an empty one. */
export function orderedStoreConformance(api: TestApi, make: () => StoreLab): void {
  const { test, equal, ok } = api;
  const damaged = (run: () => void): void => ok(thrown(run) instanceof StoreDamaged, "StoreDamaged");
  /** A test of one open store. */
  const testStore = (name: string, body: (store: OrderedStore, lab: StoreLab) => Promise<void> | void): void =>
    test(name, async () => {
      const lab = make();
      const store = await open(lab.stores);
      await body(store, lab);
      await close(store);
    });

  testStore("keys are in the order of unsigned bytes, a shorter one before what begins with it", (store) => {
    const keys = ["\x7f", "\x80", "\xff", "a", "a\0", "a\0b", "a\xff", "ab", "b", "\x01", "\0"];
    put(store, ...keys.toReversed().map((key) => [key, "v"] as const));
    equal(
      contents(store),
      ["\0", "\x01", "a", "a\0", "a\0b", "ab", "a\xff", "b", "\x7f", "\x80", "\xff"].map((key) => `${key}=v`),
    );
  });

  testStore("a scan begins at its first bound, ends before the second, and stops when told", (store) => {
    put(store, ["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"], ["e", "5"]);
    const scan = (from: string, to: string, limit?: number): string[] => store.read((view) => pairsOf(view, bytes(from), bytes(to), limit));
    equal(scan("b", "d"), ["b=2", "c=3"]);
    equal(scan("aa", "dd"), ["b=2", "c=3", "d=4"]);
    equal(scan("a", "z", 2), ["a=1", "b=2"]);
    equal(scan("", "b"), ["a=1"]);
    equal(scan("b", "b"), []);
    equal(scan("d", "b"), []);
    equal(scan("f", "z"), []);
    equal(scan("a", ""), []);
    // A scan may be begun within another one, and after one that was stopped.
    store.read((view) => {
      const seen: string[] = [];
      view.scan(bytes("a"), bytes("c"), (key) => {
        seen.push(`${text(key)}:${pairsOf(view, key, bytes("c"), 1).join()}:${text(view.get(bytes("e")))}`);
        return true;
      });
      equal(seen, ["a:a=1:5", "b:b=2:5"]);
    });
  });

  testStore("a transaction sees its own writes, in gets and scans", (store) => {
    put(store, ["a", "old"], ["c", "old"]);
    const seen = store.write((view) => {
      view.put(bytes("b"), bytes("new"));
      view.put(bytes("a"), bytes("new"));
      equal(view.remove(bytes("c")), true);
      equal(view.remove(bytes("c")), false);
      equal(view.remove(bytes("never")), false);
      equal(text(view.get(bytes("a"))), "new");
      equal(view.get(bytes("c")), undefined);
      const before = pairsOf(view);
      view.put(bytes("aa"), bytes("newer"));
      return [before, pairsOf(view)];
    });
    equal(seen, [
      ["a=new", "b=new"],
      ["a=new", "aa=newer", "b=new"],
    ]);
    equal(contents(store), ["a=new", "aa=newer", "b=new"]);
  });

  testStore("a transaction that throws changes nothing, and the next one works", (store) => {
    put(store, ["a", "1"], ["b", "2"]);
    const hash = store.contentHash();
    const error = thrown(() =>
      store.write((view) => {
        view.put(bytes("a"), bytes("changed"));
        view.remove(bytes("b"));
        view.put(bytes("c"), bytes("3"));
        throw new Error("no");
      }),
    );
    equal(error instanceof Error && error.message, "no");
    equal(contents(store), ["a=1", "b=2"]);
    equal(store.contentHash(), hash);
    put(store, ["c", "3"]);
    equal(contents(store), ["a=1", "b=2", "c=3"]);
  });

  testStore("a read sees the latest commit, and must not write", (store) => {
    for (let round = 0; round < 5; round++) {
      put(store, ["a", String(round)]);
      equal(text(store.read((view) => view.get(bytes("a")))), String(round));
    }
    ok(thrown(() => store.read((view) => view.put(bytes("a"), bytes("x")))) instanceof Error, "a put in a read throws");
    ok(thrown(() => store.read((view) => view.remove(bytes("a")))) instanceof Error, "a remove in a read throws");
    equal(contents(store), ["a=4"]);
  });

  testStore("values are empty or large, keys are long; no key is empty", (store) => {
    const sizes = [0, 1, 3, 4, 100, 1000, 2000, 4096, 8187, 32_764, 32_768, 65_536, 300_000, 1_048_576];
    const keyOf = (size: number): Uint8Array => pattern(1900, sizes.indexOf(size));
    store.write((view) => {
      for (const size of sizes) view.put(keyOf(size), pattern(size, size));
    });
    store.read((view) => {
      for (const size of sizes) ok(same(view.get(keyOf(size)), pattern(size, size)), `${size} bytes`);
      let count = 0;
      view.scan(first, last, (key, value) => {
        count++;
        return key.length === 1900 && same(value, pattern(value.length, value.length));
      });
      equal(count, sizes.length);
    });
    store.write((view) => {
      for (const size of sizes) {
        view.put(keyOf(size), pattern(5, size));
        ok(same(view.get(keyOf(size)), pattern(5, size)), `${size} bytes became 5`);
      }
    });
    for (const key of [new Uint8Array(0), new Uint8Array(3000)]) {
      ok(thrown(() => store.write((view) => view.put(key, key))) instanceof RangeError, `no key of ${key.length} bytes`);
    }
  });

  testStore("thousands of pairs in random order stay in order, through overwriting and removing", (store) => {
    const wanted = new Map<string, string>();
    let state = 12_345;
    const random = (bound: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (state >>> 8) % bound;
    };
    for (let batch = 0; batch < 20; batch++) {
      store.write((view) => {
        for (let i = 0; i < 300; i++) {
          const key = `k${random(3000)}`;
          if (random(3) === 0) equal(view.remove(bytes(key)), wanted.delete(key));
          else {
            const value = String(random(1_000_000));
            view.put(bytes(key), bytes(value));
            wanted.set(key, value);
          }
        }
      });
    }
    equal(
      contents(store),
      [...wanted.keys()].toSorted().map((key) => `${key}=${wanted.get(key)}`),
    );
  });

  testStore("a cut is what was there when it was made, while writes and flushes go on", async (store) => {
    const pairs = Array.from({ length: 500 }, (_, i) => [`k${String(i).padStart(4, "0")}`, `v${i}`] as const);
    put(store, ...pairs);
    const cut = store.cut();
    const empty = store.cut();
    empty.close();
    const got: string[] = [];
    let parts = 0;
    for (let part = cut.next(1000); part !== null; part = cut.next(1000)) {
      parts++;
      ok(part.reduce((sum, [key, value]) => sum + key.length + value.length, 0) < 2000, "a bounded part");
      for (const [key, value] of part) got.push(`${text(key)}=${text(value)}`);
      store.write((view) => {
        for (const [key] of pairs) view.put(bytes(key), bytes(`changed ${parts}`));
        view.remove(bytes("k0499"));
        view.put(bytes(`k0200-${parts}`), bytes("new"));
      });
      // oxlint-disable-next-line no-await-in-loop -- writes and flushes between the parts are what is tested
      if (parts % 2 === 0) await finished((done) => store.flush(done));
    }
    ok(parts > 3, `several parts: ${parts}`);
    equal(cut.next(1000), null);
    cut.close();
    equal(
      got,
      pairs.map(([key, value]) => `${key}=${value}`),
    );
    equal(text(store.read((view) => view.get(bytes("k0000")))), `changed ${parts}`);
  });

  test("a cut gives at least one pair, and of an empty store none", async () => {
    const { stores } = make();
    const store = await open(stores);
    const none = store.cut();
    equal(none.next(100), null);
    none.close();
    put(store, ["a", "x".repeat(1000)], ["b", "y"]);
    const cut = store.cut();
    equal(cut.next(1)?.length, 1);
    equal(
      cut.next(1)?.map(([key]) => text(key)),
      ["b"],
    );
    equal(cut.next(1), null);
    cut.close();
    await close(store);
  });

  test("the content hash is that of the contents, not of their history, and says when they differ", async () => {
    const { stores } = make();
    const [one, two] = [await open(stores, "one"), await open(stores, "two")];
    equal(one.contentHash(), "0000000000000000");
    put(one, ["a", "1"], ["b", "2"], ["c", "3"]);
    put(two, ["c", "3"]);
    put(two, ["b", "other"], ["x", "gone soon"]);
    put(two, ["a", "1"], ["b", "2"]);
    ok(one.contentHash() !== two.contentHash(), "one pair more");
    two.write((view) => view.remove(bytes("x")));
    equal(two.contentHash(), one.contentHash());
    ok(/^[0-9a-f]{16}$/.test(one.contentHash()), "16 digits");
    const seen = new Set([one.contentHash()]);
    const changes: readonly (readonly [string, string])[] = [
      ["a", "2"],
      ["a", ""],
      ["a", "1\0"],
      ["d", ""],
      ["d1", ""],
      ["d", "1"],
    ];
    for (const change of changes) {
      put(one, change);
      ok(!seen.has(one.contentHash()), `other contents: ${change.join("=")}`);
      seen.add(one.contentHash());
    }
    one.write((view) => ["a", "b", "c", "d", "d1"].map((key) => view.remove(bytes(key))));
    equal(one.contentHash(), "0000000000000000");
    await close(one);
    await close(two);
  });

  testStore("a pair that is said to be new is there, and in the hash, as any other", (store) => {
    store.write((view) => view.put(bytes("a"), bytes("1"), true));
    const hash = store.contentHash();
    store.write((view) => view.put(bytes("a"), bytes("2")));
    ok(store.contentHash() !== hash, "another value");
    store.write((view) => view.remove(bytes("a")));
    equal(store.contentHash(), "0000000000000000");
    store.write((view) => view.put(bytes("a"), bytes("1")));
    equal(store.contentHash(), hash);
    equal(contents(store).join(), "a=1");
  });

  test("what was committed is there after closing and opening, and so is the hash", async () => {
    const { stores } = make();
    const store = await open(stores);
    put(store, ["a", "1"], ["b", "2"]);
    await finished((done) => store.flush(done));
    put(store, ["b", "3"], ["c", "4"]);
    const hash = store.contentHash();
    await close(store);
    const again = await open(stores);
    equal(contents(again), ["a=1", "b=3", "c=4"]);
    equal(again.contentHash(), hash);
    again.write((view) => ["a", "b", "c"].map((key) => view.remove(bytes(key))));
    equal(again.contentHash(), "0000000000000000");
    await close(again);
  });

  test("flushes are answered later, in order, while writes go on", async () => {
    const { stores } = make();
    const store = await open(stores);
    const order: number[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 0; i < 5; i++) {
        put(store, ["a", String(i)]);
        store.flush((error) => {
          equal(error, null);
          order.push(i);
          put(store, ["b", String(i)]);
          if (order.length === 5) resolve();
        });
      }
      equal(order, []);
    });
    equal(order, [0, 1, 2, 3, 4]);
    equal(contents(store), ["a=4", "b=4"]);
    ok(store.size().bytes > 0 && store.size().freeBytes >= 0, "it has a size");
    await close(store);
  });

  test("a damaged value is not handed out: not by get, scan or cut; the others are", async () => {
    const lab = make();
    const store = await open(lab.stores);
    put(store, ["a", "fine"], ["b", "this one will be damaged"], ["c", "fine"]);
    const hash = store.contentHash();
    await close(store);
    lab.damage("shard-1", bytes("b"), bytes("this one will be damaged"));
    const again = await open(lab.stores);
    damaged(() => again.read((view) => view.get(bytes("b"))));
    damaged(() => again.read((view) => pairsOf(view)));
    damaged(() =>
      again.write((view) => {
        view.put(bytes("a"), bytes("changed"));
        view.get(bytes("b"));
      }),
    );
    const cut = again.cut();
    damaged(() => cut.next(1_000_000));
    cut.close();
    equal(
      again.read((view) => pairsOf(view, bytes("a"), bytes("b"))),
      ["a=fine"],
    );
    equal(text(again.read((view) => view.get(bytes("c")))), "fine");
    equal(again.contentHash(), hash);
    put(again, ["b", "this one will be damaged"]);
    equal(again.contentHash(), hash);
    equal(contents(again).length, 3);
    await close(again);
  });

  test("stores are listed and removed by name; an open one is neither opened again nor removed", async () => {
    const { stores } = make();
    equal(await result((done) => stores.list(done)), []);
    const [two, one] = [await open(stores, "shard-2"), await open(stores, "shard-1")];
    put(one, ["a", "1"]);
    put(two, ["a", "2"]);
    equal(await result((done) => stores.list(done)), ["shard-1", "shard-2"]);
    equal(await failure((done) => stores.open("shard-1", done)), "locked");
    equal(await failure((done) => stores.remove("shard-1", done)), "locked");
    await close(one);
    await finished((done) => stores.remove("shard-1", done));
    equal(await failure((done) => stores.remove("shard-1", done)), "not-found");
    equal(await result((done) => stores.list(done)), ["shard-2"]);
    equal(contents(two), ["a=2"]);
    const fresh = await open(stores, "shard-1");
    equal(contents(fresh), []);
    equal(fresh.contentHash(), "0000000000000000");
    await close(fresh);
    await close(two);
    for (const name of ["", "..", "a/b", "A", "a.b"]) {
      ok(thrown(() => stores.open(name, () => {})) instanceof RangeError, `"${name}" is no name`);
    }
  });

  test("a closed store is of no use", async () => {
    const { stores } = make();
    const store = await open(stores);
    await close(store);
    ok(thrown(() => put(store, ["a", "1"])) instanceof Error, "write");
    ok(thrown(() => store.read(() => {})) instanceof Error, "read");
    ok(thrown(() => store.flush(() => {})) instanceof Error, "flush");
  });
}
