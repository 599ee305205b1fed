import {
  BufferedStore,
  type BufferedStoreOptions,
  MemoryClock,
  MemoryFiles,
  MemoryNetwork,
  MemoryOrderedStores,
  clockConformance,
  MemoryPacking,
  valuePackingConformance,
  fileStoreConformance,
  orderedStoreConformance,
  transportConformance,
} from "@trivet/engine";
import type { MemoryStoresOptions, OrderedStores, TestApi } from "@trivet/engine";
import { describe, expect, test } from "vitest";

/** Drives virtual time while the body of a test waits for callbacks. */
function underVirtualTime(clock: () => MemoryClock): TestApi {
  return {
    test: (name, body) =>
      test(name, async () => {
        const state = { settled: false };
        const running = body().finally(() => {
          state.settled = true;
        });
        while (!state.settled) {
          // Let the body act on what the last step brought, then take the next step.
          for (let i = 0; i < 20; i++) await Promise.resolve();
          clock().step();
        }
        await running;
      }),
    equal: (actual, expected) => expect(actual).toEqual(expected),
    ok: (condition, what) => expect(condition, what).toBe(true),
  };
}

let clock = new MemoryClock();
const api = underVirtualTime(() => clock);

describe("MemoryFiles", () => {
  fileStoreConformance(api, () => new MemoryFiles(clock));
});
describe("MemoryFiles with a slow disk", () => {
  fileStoreConformance(api, () => new MemoryFiles(clock, { latencyMs: ({ type, bytes }) => (type === "read" ? 5 : 1 + bytes / 1000) }));
});
describe.each<[string, MemoryStoresOptions]>([
  ["MemoryOrderedStores", {}],
  ["MemoryOrderedStores with a slow disk", { latencyMs: ({ type }) => (type === "flush" ? 5 : 1) }],
])("%s", (_, options) => {
  orderedStoreConformance(api, () => {
    const stores = new MemoryOrderedStores(clock, options);
    return { stores, damage: (store, key) => void stores.flipBit(store, key, 13) };
  });
});
/** Every store that is opened is buffered. */
function buffered(below: OrderedStores, options: BufferedStoreOptions): OrderedStores {
  return {
    open: (name, done) =>
      below.open(name, (error, store) => done(error, store === undefined ? undefined : new BufferedStore(store, options))),
    list: (done) => below.list(done),
    remove: (name, done) => below.remove(name, done),
  };
}
describe.each<[string, BufferedStoreOptions]>([
  ["BufferedStore", {}],
  ["BufferedStore that has hardly any room", { maxBytes: 200 }],
  ["BufferedStore that buffers nothing", { maxBytes: 0 }],
])("%s", (_, options) => {
  orderedStoreConformance(api, () => {
    const stores = new MemoryOrderedStores(clock);
    return { stores: buffered(stores, options), damage: (store, key) => void stores.flipBit(store, key, 13) };
  });
});
describe("MemoryClock", () => {
  clockConformance(api, () => {
    clock = new MemoryClock();
    return clock;
  });
});
describe("a view of MemoryClock that drifts", () => {
  clockConformance(api, () => {
    clock = new MemoryClock();
    return clock.view({ rate: 1.01, offsetMs: 77, wallOffsetMs: -5000 });
  });
});
describe("MemoryPacking", () => {
  valuePackingConformance(api, () => new MemoryPacking());
});
describe("MemoryNetwork", () => {
  transportConformance(api, async () => {
    const network = new MemoryNetwork(clock, { fate: () => ({ delaysMs: [0.1] }) });
    return { dialler: network.transport("a"), acceptor: network.transport("b"), address: "b", deadAddress: "c" };
  });
});
