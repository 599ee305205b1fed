import { Prng, groupId } from "@trivet/core";
import type { SnapshotMeta } from "@trivet/core";
import type { SnapshotStoreApi } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { SnapshotRig, chunksOf, description, fileOf } from "./snapshot-rig.ts";

describe("a snapshot", () => {
  test("comes back chunk by chunk, also after a restart", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    expect(store.latest()).toBeNull();
    const meta = rig.write(store, 10);
    expect(meta).toMatchObject(description(10));
    expect(meta?.bytes).toBe(rig.files.contents(fileOf(rig, 10))?.length);
    expect(store.latest()).toEqual(meta);
    rig.restart();
    const again = rig.open();
    expect(again.latest()).toEqual(meta);
    expect(rig.read(again, meta as SnapshotMeta)).toEqual(chunksOf(10));
  });

  test("may be empty", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    const meta = rig.write(store, 1, []);
    expect(rig.read(store, meta as SnapshotMeta)).toEqual([]);
  });

  test("two are kept, the third-newest goes", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    for (const index of [5, 9, 12, 20]) rig.write(store, index);
    expect(store.kept().map(({ index }) => index)).toEqual([20, 12]);
    expect(rig.files.paths().length).toBe(2);
    rig.restart();
    expect(
      rig
        .open()
        .kept()
        .map(({ index }) => index),
    ).toEqual([20, 12]);
  });

  test("that is not to be used again is gone, also after a power loss, whether good or damaged (W7)", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    rig.write(store, 5);
    rig.write(store, 9);
    const path = rig.files.paths()[0] as string;
    rig.files.flipBit(path, (rig.files.contents(path)?.length ?? 0) >> 1, 1);
    rig.restart();
    const again = rig.open();
    expect(again.kept().map(({ index }) => index)).toEqual([9]);
    const newest = rig.write(again, 12) as SnapshotMeta;
    let done = false;
    again.keepOnly([newest.id], () => {
      done = true;
    });
    rig.run();
    expect(done).toBe(true);
    expect(again.kept()).toEqual([newest]);
    rig.restart(new Prng(1));
    expect(rig.open().kept()).toEqual([newest]);
    expect(rig.files.paths()).toEqual([fileOf(rig, 12)]);
  });

  test("that is aborted leaves nothing, and its callbacks never come", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    for (const steps of [0, 1, 2, 3, 5, 8]) {
      const writer = store.create(description(7));
      let called = false;
      for (let i = 0; i < steps; i++) rig.clock.step();
      writer.write(chunksOf(7)[0] ?? new Uint8Array(1), () => {
        called = true;
      });
      writer.abort();
      rig.run();
      expect(called).toBe(false);
      expect(rig.files.paths()).toEqual([]);
    }
    expect(rig.write(store, 7)).not.toBeNull();
    expect(rig.fatals).toEqual([]);
  });

  test("that dies at any file operation is whole or not there, and the older one is", () => {
    for (let seed = 0; seed < 10; seed++) {
      for (let at = 1; ; at++) {
        const rig = new SnapshotRig();
        const older = rig.write(rig.open(), 5) as SnapshotMeta;
        rig.restart();
        const store = rig.open();
        rig.stopAt = rig.operations + at;
        const finished = rig.write(store, 10);
        const ended = finished !== null;
        rig.restart(new Prng(seed * 1000 + at));
        const again = rig.open();
        expect(rig.findings).toEqual([]);
        const kept = again.kept().map(({ index }) => index);
        expect(ended ? [[10, 5]] : [[5], [10, 5]]).toContainEqual(kept);
        for (const meta of again.kept()) expect(rig.read(again, meta)).toEqual(chunksOf(meta.index));
        expect(rig.read(again, older)).toEqual(chunksOf(5));
        expect(rig.files.paths().length).toBe(kept.length);
        if (ended) break;
      }
    }
  });

  test.each(["write", "sync", "close", "rename", "sync-directory"] as const)(
    "an error at %s is fatal, once, and nothing is reported done",
    (type) => {
      const rig = new SnapshotRig();
      const store = rig.open();
      rig.fault = (operation) => (operation.type === type ? { type: "error", code: "no-space" } : null);
      expect(rig.write(store, 10)).toBeNull();
      expect(rig.write(store, 11)).toBeNull();
      expect(rig.fatals.map(({ code }) => code)).toEqual(["no-space"]);
      expect(store.latest()).toBeNull();
    },
  );
});

describe("a damaged snapshot", () => {
  test("is noticed at every byte, and the older one takes its place", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    rig.write(store, 5);
    const newest = rig.write(store, 10) as SnapshotMeta;
    const path = fileOf(rig, 10);
    const length = rig.files.contents(path)?.length ?? 0;
    expect(length).toBeGreaterThan(500);
    const prng = new Prng(3);
    for (let offset = 0; offset < length; offset++) {
      const other = new SnapshotRig(rig.files.copy());
      other.files.flipBit(path, offset, prng.below(8));
      const opened = other.open();
      if (opened.latest()?.index !== 5) expect(opened.latest()?.index, `byte ${offset}`).toBe(5);
      expect(other.findings).toMatchObject([{ type: "corrupt", file: path }]);
    }
    // Cut anywhere, or with bytes behind it.
    for (const change of [0, 7, 100, length - 17, length - 1]) {
      const other = new SnapshotRig(rig.files.copy());
      other.files.tamper(path, (bytes) => bytes.subarray(0, change));
      expect(other.open().latest()?.index).toBe(5);
    }
    const longer = new SnapshotRig(rig.files.copy());
    longer.files.tamper(path, (bytes) => Uint8Array.from([...bytes, 1]));
    expect(longer.open().latest()?.index).toBe(5);
    expect(rig.read(store, newest)).toEqual(chunksOf(10));
  });

  test("after the start is noticed when it is read, and the older one takes its place", () => {
    for (const back of [1, 20, 300]) {
      const rig = new SnapshotRig();
      const store = rig.open();
      rig.write(store, 5);
      const newest = rig.write(store, 10) as SnapshotMeta;
      rig.files.flipBit(fileOf(rig, 10), newest.bytes - back, 1);
      expect(rig.read(store, newest)).toMatchObject({ code: "io" });
      expect(store.latest()?.index).toBe(5);
      expect(rig.fatals).toEqual([]);
      // It goes once two good ones are newer.
      rig.write(store, 15);
      expect(store.kept().map(({ index }) => index)).toEqual([15, 5]);
      expect(rig.files.paths().length).toBe(2);
    }
  });

  test("of another group is not taken", () => {
    const rig = new SnapshotRig();
    rig.write(rig.open(), 5);
    rig.restart();
    expect(rig.open(groupId(4)).latest()).toBeNull();
    expect(rig.findings).toMatchObject([{ type: "corrupt", detail: "a snapshot of another group" }]);
  });
});

function sender(): { rig: SnapshotRig; store: SnapshotStoreApi; meta: SnapshotMeta } {
  const rig = new SnapshotRig();
  const store = rig.open();
  return { rig, store, meta: rig.write(store, 30) as SnapshotMeta };
}

/** Hands over bytes [from, to) and tells what the receiver said. */
function hand(rig: SnapshotRig, to: SnapshotStoreApi, meta: SnapshotMeta, bytes: Uint8Array, from: number, end: number): [number, boolean] {
  let answer: [number, boolean] | null = null;
  to.receive(meta, from, bytes.subarray(from, end), end === bytes.length, (durable, failed) => {
    answer = [durable, failed];
  });
  expect(answer).toBeNull();
  rig.run();
  if (answer === null) throw new Error("no answer");
  return answer;
}

describe("a snapshot from a peer", () => {
  test.each([1_000_000, 100, 37])("arrives in pieces of %i bytes and is adopted", (size) => {
    const { rig: source, store: from, meta } = sender();
    const rig = new SnapshotRig();
    const to = rig.open();
    rig.write(to, 5);
    let last = { durable: 0, failed: false };
    const step = (offset: number): void => {
      from.readBytes(meta.id, offset, size, (data, end) => {
        to.receive(meta, offset, data ?? new Uint8Array(0), end, (durable, failed) => {
          last = { durable, failed };
        });
      });
      source.run();
      rig.run();
      if (last.durable < meta.bytes) step(last.durable);
    };
    step(0);
    expect(last).toEqual({ durable: meta.bytes, failed: false });
    expect(to.latest()?.index).toBe(5);
    let adopted = false;
    to.adopt(meta, (error) => {
      expect(error).toBeNull();
      adopted = true;
    });
    rig.run();
    expect(adopted).toBe(true);
    expect(to.kept().map(({ index }) => index)).toEqual([30, 5]);
    expect(rig.read(to, meta)).toEqual(chunksOf(30));
    rig.restart(new Prng(1));
    const again = rig.open();
    expect(again.latest()).toEqual(meta);
    expect(rig.read(again, meta)).toEqual(chunksOf(30));
  });

  test("a sender that reconnects goes on where the durable bytes end; repeats and gaps change nothing", () => {
    const { rig: source, meta } = sender();
    const bytes = source.files.contents(fileOf(source, 30)) ?? new Uint8Array(0);
    const rig = new SnapshotRig();
    const to = rig.open();
    expect(hand(rig, to, meta, bytes, 100, 200)).toEqual([0, false]);
    expect(hand(rig, to, meta, bytes, 0, 100)).toEqual([100, false]);
    expect(hand(rig, to, meta, bytes, 0, 100)).toEqual([100, false]);
    expect(hand(rig, to, meta, bytes, 150, 200)).toEqual([100, false]);
    expect(hand(rig, to, meta, bytes, 100, bytes.length)).toEqual([bytes.length, false]);
    expect(hand(rig, to, meta, bytes, 100, bytes.length)).toEqual([bytes.length, false]);
  });

  test("pieces of two snapshots are never mixed (mutant 33)", () => {
    const { rig: source, store, meta } = sender();
    const other = source.write(store, 31) as SnapshotMeta;
    const first = source.files.contents(fileOf(source, 30)) ?? new Uint8Array(0);
    const second = source.files.contents(fileOf(source, 31)) ?? new Uint8Array(0);
    const rig = new SnapshotRig();
    const to = rig.open();
    expect(hand(rig, to, meta, first, 0, 100)).toEqual([100, false]);
    // In the middle of the first one, pieces of the second: it has to start at its beginning.
    expect(hand(rig, to, other, second, 100, 200)).toEqual([0, false]);
    expect(hand(rig, to, other, second, 0, 150)).toEqual([150, false]);
    expect(hand(rig, to, meta, first, 100, 200)).toEqual([0, false]);
    expect(hand(rig, to, other, second, 150, second.length)).toEqual([second.length, false]);
    to.adopt(other, () => {});
    rig.run();
    expect(rig.read(to, other)).toEqual(chunksOf(31));
  });

  test("a damaged one is refused and starts again from nothing", () => {
    const { rig: source, meta } = sender();
    const good = source.files.contents(fileOf(source, 30)) ?? new Uint8Array(0);
    const bad = new Uint8Array(good);
    bad[200] = (bad[200] ?? 0) ^ 4;
    const rig = new SnapshotRig();
    const to = rig.open();
    expect(hand(rig, to, meta, bad, 0, 500)).toEqual([500, false]);
    expect(hand(rig, to, meta, bad, 500, bad.length)).toEqual([0, true]);
    expect(rig.files.paths()).toEqual([]);
    expect(hand(rig, to, meta, good, 0, good.length)).toEqual([good.length, false]);
    // Another snapshot under this one's id, or one longer than announced, is no better.
    const posing = { ...meta, id: "another" };
    expect(hand(rig, to, posing, good, 0, good.length)).toEqual([0, true]);
    expect(hand(rig, to, { ...meta, bytes: 100 }, good, 0, good.length)).toEqual([0, true]);
    expect(rig.fatals).toEqual([]);
  });

  test("an unfinished one is gone after a restart, and begins anew", () => {
    const { rig: source, meta } = sender();
    const bytes = source.files.contents(fileOf(source, 30)) ?? new Uint8Array(0);
    const rig = new SnapshotRig();
    hand(rig, rig.open(), meta, bytes, 0, 300);
    rig.restart();
    const to = rig.open();
    expect(rig.files.paths()).toEqual([]);
    expect(hand(rig, to, meta, bytes, 300, 400)).toEqual([0, false]);
  });

  test("to adopt what was not received is a bug", () => {
    const { meta } = sender();
    const rig = new SnapshotRig();
    rig.open().adopt(meta, () => {});
    expect(() => rig.run()).toThrow("snapshot-adopt-complete");
  });

  test("bytes of one that is gone", () => {
    const rig = new SnapshotRig();
    const store = rig.open();
    let answer: Uint8Array | null | undefined;
    store.readBytes("none", 0, 10, (data) => {
      answer = data;
    });
    expect(answer).toBeUndefined();
    rig.run();
    expect(answer).toBeNull();
  });
});
