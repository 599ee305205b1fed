import type { SystemState } from "@trivet/core";
import { describe, expect, test, vi } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench } from "../system/support.ts";
import { wholeSnapshot } from "../system/traffic.ts";
import { restoredHolds } from "./packed-scenarios.ts";

const pageItems = 20;
/** A search in a few thousand names, and some looks at each that is shown. */
const looksPerPage = 8 * pageItems;

/** Counts how often anything of a packed hold is looked at. */
function looksAt({ lockState: { packed } }: SystemState): () => number {
  const looks = (["compare", "compareText", "isPacked", "startsWith"] as const).map((look) => vi.spyOn(packed, look));
  return () => looks.reduce((count, { mock }) => count + mock.calls.length, 0);
}

function namesOf(state: SystemState, prefix: string, cursor: string, limit: number): readonly string[] {
  return state.locks(prefix, cursor, limit).locks.map(({ name }) => name);
}

const nameOf = (lock: number): string => `orders/${String(lock).padStart(4, "0")}`;
const firstNames = Array.from({ length: pageItems }, (_, lock) => nameOf(lock));

describe("pages of packed names", () => {
  test("make objects of what they show, and of nothing else, in order or not", () => {
    for (const isTidied of [false, true]) {
      const { state } = restoredHolds(2_000);
      if (isTidied) while (!state.tidy());
      for (let asked = 0; asked < 100; asked++) expect(namesOf(state, "orders/", "", pageItems)).toEqual(firstNames);
      expect(state.lockState.packed.size).toBe(2_000 - pageItems);
    }
  });

  test("look at few records, however often they are asked for", () => {
    const { state } = restoredHolds(4_000);
    while (!state.tidy());
    const looks = looksAt(state);
    for (let asked = 0; asked < 100; asked++) namesOf(state, "orders/", "", pageItems);
    expect(looks()).toBeLessThan(100 * looksPerPage);
  });

  test("look once at what was unpacked", () => {
    const { state } = restoredHolds(4_000);
    while (!state.tidy());
    for (let lock = 0; lock < 2_800; lock++) state.lock(nameOf(lock));
    expect(state.lockState.packed.isSparse).toBe(false);
    while (!state.tidy());
    const looks = looksAt(state);
    for (let asked = 0; asked < 100; asked++) expect(namesOf(state, "orders/", "", pageItems)).toEqual(firstNames);
    for (let asked = 0; asked < 100; asked++) namesOf(state, "orders/", nameOf(asked), pageItems);
    for (let asked = 0; asked < 100; asked++) namesOf(state, "orders/", nameOf(2_600 + asked), pageItems);
    expect(looks()).toBeLessThan(2_800 + 300 * looksPerPage);
  });

  test("look into runs, not at all records, once the first step of putting them in order is done", () => {
    const { state } = restoredHolds(9_000);
    while (!state.arrangeToList());
    expect(state.tidy()).toBe(false);
    const looks = looksAt(state);
    namesOf(state, "orders/", "", pageItems);
    // Eighteen runs of 512 at most: nine looks or ten find the place in each, and few of each are shown.
    expect(looks()).toBeLessThan(18 * 10 + 10 * looksPerPage);
  });

  test("cost a few looks for each name they show, also where many are shown of many runs", () => {
    const { state } = restoredHolds(9_000);
    while (!state.arrangeToList());
    const looks = looksAt(state);
    expect(namesOf(state, "orders/", "", 1_000)).toEqual(Array.from({ length: 1_000 }, (_, lock) => nameOf(lock)));
    expect(looks()).toBeLessThan(18 * 10 + 16 * 1_000);
  });

  test("cost nothing to be asked whether they are ready", () => {
    const { state } = restoredHolds(9_000);
    const looks = looksAt(state);
    expect(state.isListable()).toBe(false);
    expect(state.isListable()).toBe(false);
    expect(looks()).toBe(0);
    while (!state.arrangeToList());
    expect(state.isListable()).toBe(true);
  });

  test("show what sorting all names would, at every step of putting them in order", () => {
    for (let seed = 1; seed <= 3; seed++) {
      const random = new Prng(seed);
      const bench = new Bench();
      bench.checked = false;
      const sessions = [bench.open(), bench.open()];
      const names: string[] = [];
      for (let lock = 0; lock < 12_000; lock++) {
        const name = `${random.pick(["a/", "a/", "b", "c/d"])}${(lock * 7919) % 100_003}`;
        bench.take(name, "exclusive", { session: sessions[lock % 2] ?? 0, owner: "a" });
        names.push(name);
      }
      const state = restoreSystem(wholeSnapshot(bench.state));
      const sorted = names.slice().sort();
      let calls = 0;
      for (let isTidy = false; !isTidy; calls++) {
        for (let asked = 0; asked < 6; asked++) {
          for (let lock = random.below(40); lock > 0; lock--) state.lock(random.pick(names));
          const prefix = random.pick(["", "a/", "b", "c", "c/d9", "é"]);
          const cursor = random.chance(0.3) ? "" : random.pick(names);
          const limit = random.between(1, 60);
          const expected = sorted.filter((name) => name.startsWith(prefix) && name > cursor);
          const page = state.locks(prefix, cursor, limit);
          expect(page.locks.map(({ name }) => name)).toEqual(expected.slice(0, limit));
          expect(page.next).toBe(expected.length > limit ? expected[limit - 1] : null);
        }
        isTidy = state.tidy();
      }
      expect(calls).toBeGreaterThan(10);
    }
  });

  test("are none when the last is unpacked before they are in order", () => {
    const { state, session } = restoredHolds(5_000);
    expect(state.tidy()).toBe(false);
    state.applyCommand({ type: "close-session", session }, "", 0, nobody);
    expect(state.locks("", "", pageItems)).toEqual({ locks: [], next: null });
    while (!state.tidy());
    expect(state.lockState.packedOrder.arrange()).toBe(true);
    expect(state.locks("", "", pageItems)).toEqual({ locks: [], next: null });
  });
});
