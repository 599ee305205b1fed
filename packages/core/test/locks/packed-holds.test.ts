import { describeSystem, type SystemState } from "@trivet/core";
import { CodecError } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench, acquire } from "../system/support.ts";
import { recut, Traffic, wholeSnapshot } from "../system/traffic.ts";
import {
  endedSessionsHoldNothing,
  heldAreNotFree,
  restoredHolds,
  snapshotsHaveWhatEnded,
  snapshotsOfPackedAreCuts,
  unpackedDuring,
} from "./packed-scenarios.ts";

/** Every name, page by page. */
function listed(state: SystemState, limit: number, prefix = "", tidied: () => void = () => undefined): string[] {
  const names: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const page = state.locks(prefix, cursor, limit);
    expect(page.locks.every(({ status }) => status === "held")).toBe(true);
    names.push(...page.locks.map(({ name }) => name));
    cursor = page.next;
    tidied();
  }
  return names;
}

function namesOf(state: SystemState): string[] {
  return describeSystem(state)
    .filter((line) => line.startsWith("lock "))
    .map((line) => (JSON.parse(line.slice(5)) as { readonly name: string }).name);
}

describe("holds of a snapshot that nobody has asked for", () => {
  test("are held: nobody else gets them, and their owner releases them", heldAreNotFree);
  test("end with their session", endedSessionsHoldNothing);
  test("are in the next snapshot as they were at its begin", snapshotsOfPackedAreCuts);
  test("are in a snapshot that was begun before their session ended", snapshotsHaveWhatEnded);

  test("are taken apart where a name has several, where somebody waits, without a session and with texts beyond ASCII", () => {
    const bench = new Bench();
    bench.checked = false;
    const [session, other] = [bench.open(), bench.open()];
    bench.take("alone", "exclusive", { session, owner: "a" });
    bench.take("both", "shared", { session, owner: "a" });
    bench.take("both", "shared", { session: other, owner: "b" });
    bench.take("awaited", "exclusive", { session, owner: "a" });
    bench.wait(acquire("awaited", "exclusive", { session: other, owner: "b" }, { waitMs: 1_000 }));
    bench.take("permits", "permit", { session, owner: "a" }, 3);
    bench.take("leased", "exclusive", { owner: "c" });
    bench.take("é", "exclusive", { session, owner: "a" });
    bench.take("owned", "exclusive", { session, owner: "ö" });
    const state = restoreSystem(wholeSnapshot(bench.state));
    const packed: string[] = [];
    for (const { name } of state.lockState.packed.all()) packed.push(name);
    expect(packed.sort()).toEqual(["alone", "permits"]);
    checkSystem(state);
    expect(describeSystem(state)).toEqual(describeSystem(bench.state));
    expect(state.session(session)?.locks).toBe(bench.state.session(session)?.locks ?? -1);
    expect(state.isHeld("alone", 1)).toBe(true);
    expect(state.isHeld("alone", 2)).toBe(false);
    expect(state.lock("permits")).toEqual(bench.state.lock("permits"));
  });

  test("tell their fences as the records do", () => {
    const bench = new Bench({ locksPerSession: 1_000 });
    const session = bench.open();
    for (let lock = 0; lock < 200; lock++) {
      const who = { session, owner: "o".repeat((lock * 13) % 200) };
      bench.take(`${"n".repeat(1 + ((lock * 7) % 180))}${lock}`, lock % 2 === 0 ? "permit" : "shared", who, lock % 2 === 0 ? 300 : 0);
    }
    const { packed } = restoreSystem(wholeSnapshot(bench.state)).lockState;
    expect(packed.size).toBe(200);
    for (let id = 0; id < packed.end; id++) expect(packed.fenceOf(id)).toBe(packed.fieldsOf(id).fence);
  });

  test("are made objects where most bytes came with others, and the memory of those is given back", () => {
    const bench = new Bench();
    bench.checked = false;
    const session = bench.open();
    for (let lock = 0; lock < 400; lock++) bench.take(`n${lock}`, "exclusive", { session, owner: lock % 8 === 0 ? "a" : "ö" });
    const state = restoreSystem(wholeSnapshot(bench.state));
    expect(state.lockState.packed.size).toBe(50);
    while (!state.tidy());
    expect([state.lockState.packed.size, state.lockState.packed.end, state.lockCount()]).toEqual([0, 0, 400]);
    checkSystem(state);
  });

  test("whose records' lengths have needless bytes are refused when they are read, not when they are asked for", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("a", "exclusive", { session, owner: "a" });
    const whole = Buffer.concat(wholeSnapshot(bench.state));
    const lengthAt: number[] = [];
    for (let at = 0; at < whole.length;) {
      lengthAt.push(at);
      const length = whole[at] as number;
      at += length < 0x80 ? 1 + length : 2 + (length & 0x7f) + ((whole[at + 1] as number) << 7);
    }
    const short = lengthAt.filter((at) => (whole[at] as number) < 0x80);
    expect(short.length).toBeGreaterThan(2);
    expect(() => restoreSystem([whole])).not.toThrow();
    for (const at of short) {
      const length = whole[at] as number;
      for (const spelt of [
        [length | 0x80, 0],
        [length | 0x80, 0x80, 0],
        [length | 0x80, 0x80, 0x80, 0x80, 0],
      ]) {
        const changed = Buffer.concat([whole.subarray(0, at), Buffer.from(spelt), whole.subarray(at + 1)]);
        expect(() => restoreSystem([changed])).toThrow(CodecError);
      }
    }
  });

  test("count towards the quota of their session", () => {
    const bench = new Bench({ locksPerSession: 3 });
    const session = bench.open();
    for (const name of ["a", "b", "c"]) bench.take(name, "exclusive", { session, owner: "a" });
    const state = restoreSystem(wholeSnapshot(bench.state));
    expect(state.applyCommand(acquire("d", "exclusive", { session, owner: "a" }), "", 0, nobody)).toMatchObject({ type: "quota", max: 3 });
    expect(state.lockState.packed.size).toBe(3);
  });

  test("go on like those of a replica that has been there all the time, over many restarts", () => {
    let packed = 0;
    for (let seed = 1; seed <= 25; seed++) {
      const names = Array.from({ length: 60 }, (_, name) => `n${name}`);
      const traffic = new Traffic(7000 + seed, names);
      const { random } = traffic;
      const first = new Bench().state;
      let restarted = restoreSystem(wholeSnapshot(first));
      for (let index = 1; index <= 400; index++) {
        const payload = traffic.entry(first);
        const said: [string[], string[]] = [[], []];
        for (const [place, state] of [first, restarted].entries()) {
          state.applyEntry(payload, index, {
            answer: (...args: unknown[]) => void said[place]?.push(JSON.stringify(args)),
            changed: (event: unknown) => void said[place]?.push(JSON.stringify(event)),
          });
        }
        expect(said[1]).toEqual(said[0]);
        expect(restarted.stateHash()).toBe(first.stateHash());
        if (!random.chance(0.05)) continue;
        checkSystem(restarted);
        expect(describeSystem(restarted)).toEqual(describeSystem(first));
        restarted = restoreSystem(recut(wholeSnapshot(random.chance(0.5) ? first : restarted), random));
        packed += restarted.lockState.packed.size;
      }
    }
    expect(packed).toBeGreaterThan(1000);
  });

  test("are listed with the others in byte order, before they are in order themselves, meanwhile and then", () => {
    for (const tidiedPerPage of [0, 1, 1_000]) {
      const bench = new Bench();
      bench.checked = false;
      const session = bench.open();
      const other = bench.open();
      for (let lock = 0; lock < 3000; lock++) {
        const name = `${lock % 3 === 0 ? "a/" : "b"}${(lock * 7919) % 10_007}`;
        bench.take(name, "exclusive", { session: lock % 2 === 0 ? session : other, owner: "a" });
      }
      const state = restoreSystem(wholeSnapshot(bench.state));
      for (const name of ["a", "b", "c", "é"]) state.applyCommand(acquire(name, "exclusive", { session, owner: "a" }), "", 0, nobody);
      const tidied = (): void => {
        for (let step = 0; step < tidiedPerPage; step++) state.tidy();
      };
      const expected = namesOf(state).sort();
      expect(state.locks("", "", 5).locks.map(({ name }) => name)).toEqual(expected.slice(0, 5));
      tidied();
      expect(listed(state, 7, "a/", tidied)).toEqual(expected.filter((name) => name.startsWith("a/")));
      state.applyCommand({ type: "close-session", session: other }, "", 0, nobody);
      const left = namesOf(state).sort();
      expect(listed(state, 100, "", tidied)).toEqual(left);
      expect(listed(state, 1_000, "b", tidied)).toEqual(left.filter((name) => name.startsWith("b")));
      while (!state.tidy());
      expect(listed(state, 100)).toEqual(left);
      checkSystem(state);
    }
  });

  test("are made objects in idle moments once only few of them are left, and take no memory then", () => {
    const { state, session } = restoredHolds(2_000);
    for (let lock = 0; lock < 1_490; lock++) state.lock(`orders/${String(lock).padStart(4, "0")}`);
    while (!state.tidy());
    expect(state.lockState.packed.size).toBe(510);
    for (let lock = 1_490; lock < 1_520; lock++) state.lock(`orders/${String(lock).padStart(4, "0")}`);
    const tidied: boolean[] = [];
    while (tidied.at(-1) !== true) {
      const unpacked = unpackedDuring(state, () => void tidied.push(state.tidy()));
      expect(unpacked).toBeLessThanOrEqual(128);
      checkSystem(state);
    }
    expect(tidied.length).toBeGreaterThan(3);
    expect([state.lockState.packed.size, state.lockState.packed.end, state.lockCount()]).toEqual([0, 0, 2_000]);
    expect(state.session(session)?.locks).toBe(2_000);
  });
});
