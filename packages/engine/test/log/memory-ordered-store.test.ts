import { Prng } from "@trivet/core";
import { IoError, MemoryClock, MemoryOrderedStores, StoreDamaged } from "@trivet/engine";
import type { MemoryStoresOptions, OrderedStore } from "@trivet/engine";
import { beforeEach, describe, expect, test } from "vitest";

let clock = new MemoryClock();
beforeEach(() => {
  clock = new MemoryClock();
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
function open(stores: MemoryOrderedStores, name = "a"): OrderedStore {
  let store: OrderedStore | undefined;
  stores.open(name, (_, opened) => {
    store = opened;
  });
  clock.runUntilIdle();
  if (store === undefined) throw new Error("not opened");
  return store;
}
const put = (store: OrderedStore, key: string, value: string): void => store.write((view) => view.put(bytes(key), bytes(value)));
function contents(store: OrderedStore): string[] {
  const found: string[] = [];
  store.read((view) =>
    view.scan(new Uint8Array(0), Uint8Array.of(255), (key, value) => {
      found.push(`${new TextDecoder().decode(key)}=${new TextDecoder().decode(value)}`);
      return true;
    }),
  );
  return found;
}
function flush(stores: MemoryOrderedStores, store: OrderedStore): IoError | null | undefined {
  let answer: IoError | null | undefined;
  store.flush((error) => {
    answer = error;
  });
  clock.runUntilIdle();
  return answer;
}

/** What a loss of power with one seed leaves of several stores. */
const afterLoss = (): string[] => {
  const stores = new MemoryOrderedStores(clock);
  for (const name of ["b", "a", "c"]) {
    const store = open(stores, name);
    for (let i = 0; i < 20; i++) put(store, "a", String(i));
  }
  stores.crash(new Prng(3));
  return ["a", "b", "c"].map((name) => contents(open(stores, name)).join());
};

/** The states that crashes with many seeds leave. */
function outcomes(options: MemoryStoresOptions, prepare: (stores: MemoryOrderedStores, store: OrderedStore) => void): Set<string> {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const stores = new MemoryOrderedStores(clock, options);
    const store = open(stores);
    prepare(stores, store);
    stores.crash(new Prng(seed));
    const again = open(stores);
    seen.add(contents(again).join());
    // The hash goes back with the contents.
    const fresh = open(new MemoryOrderedStores(clock));
    for (const pair of contents(again)) put(fresh, pair.split("=")[0] ?? "", pair.split("=")[1] ?? "");
    expect(again.contentHash()).toBe(fresh.contentHash());
  }
  return seen;
}

describe("power loss", () => {
  test("leaves any commit from the last finished flush on, and nothing else", () => {
    const seen = outcomes({}, (stores, store) => {
      put(store, "a", "1");
      put(store, "b", "1");
      expect(flush(stores, store)).toBeNull();
      put(store, "a", "2");
      store.write((view) => {
        view.remove(bytes("a"));
        view.put(bytes("c"), bytes("1"));
        view.put(bytes("c"), bytes("2"));
      });
    });
    expect([...seen].toSorted()).toEqual(["a=1,b=1", "a=2,b=1", "b=1,c=2"]);
  });

  test("a flush counts when it is done, and covers what was committed before it was asked for", () => {
    const options: MemoryStoresOptions = { latencyMs: ({ type }) => (type === "flush" ? 10 : 0) };
    const under = outcomes(options, (_, store) => {
      put(store, "a", "1");
      store.flush(() => expect.unreachable("the power was lost before"));
      clock.advance(5);
    });
    expect([...under].toSorted()).toEqual(["", "a=1"]);
    const over = outcomes(options, (_, store) => {
      put(store, "a", "1");
      store.flush(() => {});
      put(store, "a", "2");
      clock.advance(15);
    });
    expect([...over].toSorted()).toEqual(["a=1", "a=2"]);
  });

  test("a flush that lied, or failed, kept nothing", () => {
    for (const fault of [{ type: "lie" }, { type: "error", code: "io" }] as const) {
      const seen = outcomes({ fault: ({ type }) => (type === "flush" ? fault : null) }, (stores, store) => {
        put(store, "a", "1");
        const answer = flush(stores, store);
        expect(answer === null).toBe(fault.type === "lie");
      });
      expect([...seen].toSorted()).toEqual(["", "a=1"]);
    }
  });

  test("the same seed loses the same", () => {
    expect(afterLoss()).toEqual(afterLoss());
  });
});

test("kill -9 keeps what was committed, gives the stores free, and lets no answer through", () => {
  const stores = new MemoryOrderedStores(clock);
  const store = open(stores);
  put(store, "a", "1");
  expect(() =>
    store.write((view) => {
      view.put(bytes("a"), bytes("2"));
      stores.endProcess();
      throw new Error("ended");
    }),
  ).toThrow("ended");
  expect(() => put(store, "a", "3")).toThrow(/ended/);
  expect(contents(open(stores))).toEqual(["a=1"]);
});

test("after a failed flush the store refuses everything but closing", () => {
  const stores = new MemoryOrderedStores(clock, { fault: ({ type }) => (type === "flush" ? { type: "error", code: "io" } : null) });
  const store = open(stores);
  put(store, "a", "1");
  expect(flush(stores, store)).toBeInstanceOf(IoError);
  expect(() => put(store, "a", "2")).toThrow(IoError);
  expect(() => store.read(() => null)).toThrow(IoError);
  let closed = false;
  store.close(() => {
    closed = true;
  });
  clock.runUntilIdle();
  expect(closed).toBe(true);
});

test("a flipped bit is found until the value is written again, also by one who crashes in between", () => {
  const stores = new MemoryOrderedStores(clock);
  const store = open(stores);
  put(store, "a", "1");
  put(store, "empty", "");
  const hash = store.contentHash();
  flush(stores, store);
  expect(stores.flipBit("a", bytes("a"), 9)).toBe(true);
  expect(stores.flipBit("a", bytes("empty"), 9)).toBe(true);
  expect(stores.flipBit("a", bytes("none"), 9)).toBe(false);
  expect(() => contents(store)).toThrow(StoreDamaged);
  put(store, "a", "2");
  expect(store.read((view) => view.get(bytes("a")))).toEqual(bytes("2"));
  stores.crash(new Prng(2));
  const again = open(stores);
  put(again, "a", "1");
  put(again, "empty", "");
  expect(again.contentHash()).toBe(hash);
});

test("the size is that of the fullest moment", () => {
  const store = open(new MemoryOrderedStores(clock));
  put(store, "a", "x".repeat(1000));
  const { bytes: full } = store.size();
  put(store, "a", "");
  expect(store.size()).toEqual({ bytes: full, freeBytes: 1000 });
});

test("a hundred thousand pairs in any order cost no more than their number", () => {
  const store = open(new MemoryOrderedStores(clock));
  const prng = new Prng(1);
  const keys = new Set<number>();
  store.write((view) => {
    for (let i = 0; i < 100_000; i++) {
      const number = prng.nextUint32();
      const key = new Uint8Array(4);
      new DataView(key.buffer).setUint32(0, number);
      keys.add(number);
      view.put(key, key);
    }
  });
  const cut = store.cut();
  let last = -1;
  let count = 0;
  for (let part = cut.next(10_000); part !== null; part = cut.next(10_000)) {
    for (const [key] of part) {
      const number = new DataView(key.buffer).getUint32(0);
      expect(number).toBeGreaterThan(last);
      last = number;
      count++;
    }
    store.write((view) => view.remove(part?.[0]?.[0] ?? new Uint8Array(1)));
  }
  expect(count).toBe(keys.size);
});
