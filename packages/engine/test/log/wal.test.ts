import { Prng, logIndex, nodeId, term } from "@trivet/core";
import type { Entry } from "@trivet/core";
import { describe, expect, test } from "vitest";
import { WalRig } from "./wal-rig.ts";
import { append, entry, floor, indexes, shard, system } from "./wal-writes.ts";

describe("group commit", () => {
  test("writes of all groups in one turn share one sync, and what queues meanwhile shares the next", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    const before = wal.stats().syncs;
    const first = [append(wal, system, [entry(1)]), append(wal, shard, [entry(1)]), append(wal, system, [entry(2)])];
    expect(first.some(({ durable }) => durable)).toBe(false);
    rig.clock.step();
    const second = [append(wal, shard, [entry(2)]), append(wal, system, [entry(3)])];
    expect(wal.stats().queuedBytes).toBeGreaterThan(0);
    expect(wal.stats().oldestUnsyncedAt).not.toBeNull();
    rig.run();
    expect([...first, ...second].every(({ durable }) => durable)).toBe(true);
    expect(wal.stats().syncs - before).toBe(2);
    expect(wal.stats()).toMatchObject({ queuedBytes: 0, oldestUnsyncedAt: null });
  });

  test("a commit hint costs no sync, and is not lost by a proper stop", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1), entry(2)]);
    rig.run();
    const { syncs } = wal.stats();
    const hint = append(wal, system, [], { commit: 2 });
    expect(hint.durable).toBe(false);
    rig.run();
    expect(hint.durable).toBe(true);
    expect(wal.stats().syncs).toBe(syncs);
    rig.close(wal);
    expect(rig.mustOpen().groups.get(system)?.commit).toBe(2);
  });

  test("a write without content is answered after everything before it", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    const order: string[] = [];
    const empty = { group: system, hardState: null, truncateFrom: logIndex(0), append: [], commit: logIndex(0) };
    wal.write({ ...empty, append: [entry(1)] }, () => order.push("1"));
    wal.write(empty, () => order.push("2"));
    rig.clock.step();
    wal.write(empty, () => order.push("3"));
    wal.write({ ...empty, append: [entry(2)] }, () => order.push("4"));
    wal.write(empty, () => order.push("5"));
    expect(order).toEqual([]);
    rig.run();
    expect(order).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("payloads of any size come back as they were", () => {
    const rig = new WalRig(100_000);
    const { wal } = rig.mustOpen();
    const prng = new Prng(1);
    const entries = [0, 1, 1023, 1024, 1025, 3, 5, 70_000, 2, 2].map((size, i): Entry => ({
      index: logIndex(i + 1),
      term: term(1),
      kind: "command",
      payload: Uint8Array.from({ length: size }, () => prng.below(256)),
    }));
    append(wal, system, entries.slice(0, 6));
    append(wal, system, entries.slice(6));
    rig.run();
    rig.kill();
    expect(rig.mustOpen().groups.get(system)?.entries).toEqual(entries);
  });

  test("a queue larger than a batch is cut into several", () => {
    const rig = new WalRig(64 * 1024 * 1024);
    const { wal } = rig.mustOpen();
    const all = Array.from({ length: 12 }, (_, i) => append(wal, system, [entry(i + 1, 1, 1024 * 1024)]));
    rig.run();
    expect(all.every(({ durable }) => durable)).toBe(true);
    expect(wal.stats().syncs).toBeGreaterThan(1);
    expect(wal.stats().syncs).toBeLessThan(5);
  });

  test("a term never goes back", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [], { hardState: { term: term(5), vote: nodeId("a") } });
    expect(() => append(wal, system, [], { hardState: { term: term(4), vote: null } })).toThrow("wal-term-monotonic");
  });
});

describe("segments", () => {
  test("every entry survives many segments, and a floor lets the old ones go (rule W1)", () => {
    const rig = new WalRig(1000);
    const { wal } = rig.mustOpen();
    for (let i = 1; i <= 60; i++) {
      append(wal, system, [entry(i, 1, 100)], i === 1 ? { hardState: { term: term(1), vote: nodeId("b") } } : {});
      rig.run();
    }
    const { segments } = wal.stats();
    expect(segments).toBeGreaterThan(6);
    expect(wal.stats().heldBackBy).toBe(system);
    wal.setFloor(floor(system, 50, 1, 41), () => {});
    rig.run();
    expect(wal.stats().segments).toBeLessThan(segments / 2);
    rig.kill();
    const group = rig.mustOpen().groups.get(system);
    expect(indexes(group?.entries)).toEqual(Array.from({ length: 20 }, (_, i) => 41 + i));
    expect(group?.hardState).toEqual({ term: 1, vote: "b" });
    expect(group?.floor).toEqual(floor(system, 50, 1, 41));
    expect(group?.commit).toBe(50);
  });

  test("a group that wrote little holds its segment until its own floor has passed", () => {
    const rig = new WalRig(1000);
    const { wal } = rig.mustOpen();
    append(wal, shard, [entry(1), entry(2)]);
    for (let i = 1; i <= 30; i++) {
      append(wal, system, [entry(i, 1, 100)]);
      rig.run();
    }
    const { segments } = wal.stats();
    wal.setFloor(floor(system, 30), () => {});
    rig.run();
    expect(wal.stats()).toMatchObject({ segments, heldBackBy: shard });
    wal.setFloor(floor(shard, 2), () => {});
    rig.run();
    expect(wal.stats()).toMatchObject({ segments: 1, heldBackBy: null });
    rig.kill();
    expect(rig.mustOpen().groups.get(shard)).toMatchObject({ entries: [], floor: { index: 2 }, commit: 2 });
  });

  test("entries made void hold no segment back", () => {
    const rig = new WalRig(600);
    const { wal } = rig.mustOpen();
    append(wal, shard, [entry(1), entry(2), entry(3)]);
    for (let i = 1; i <= 10; i++) {
      append(wal, system, [entry(i, 1, 100)]);
      rig.run();
    }
    append(wal, shard, [entry(2, 2)], { truncateFrom: 2 });
    wal.setFloor(floor(shard, 1), () => {});
    wal.setFloor(floor(system, 10), () => {});
    rig.run();
    expect(wal.stats().segments).toBeLessThanOrEqual(2);
    rig.kill();
    expect(indexes(rig.mustOpen().groups.get(shard)?.entries)).toEqual([2]);
  });

  test("unfinished files of an earlier run are removed, strange ones left alone", () => {
    const rig = new WalRig();
    rig.close(rig.mustOpen().wal);
    const put = (path: string): void =>
      rig.files.open(path, "create", (_, handle) => handle?.writeDurable(0, [new Uint8Array(50)], () => {}));
    put("wal/0000000002.wal.new");
    put("wal/readme.txt");
    rig.run();
    const { wal, findings } = rig.mustOpen();
    expect(findings).toEqual([]);
    append(wal, system, [entry(1)]);
    rig.run();
    expect(rig.files.paths()).toEqual(["wal/0000000001.wal", "wal/readme.txt"]);
  });
});

function install(keepSuffix: boolean): number[] {
  const rig = new WalRig(300);
  const { wal } = rig.mustOpen();
  append(wal, system, [entry(1), entry(2), entry(3), entry(4), entry(5)]);
  rig.run();
  wal.installed(floor(system, 3), keepSuffix, () => {});
  rig.run();
  rig.kill();
  const opened = rig.mustOpen();
  expect(opened.findings).toEqual([]);
  expect(opened.groups.get(system)?.floor?.index).toBe(3);
  return indexes(opened.groups.get(system)?.entries);
}

describe("snapshot install (rule W5)", () => {
  test("the suffix stays where the log agrees", () => expect(install(true)).toEqual([4, 5]));
  test("else the whole log is void", () => expect(install(false)).toEqual([]));

  test("old entries never come back as newer ones, whenever it dies (mutant 34)", () => {
    for (let at = 1; at < 40; at++) {
      const rig = new WalRig(300);
      const { wal } = rig.mustOpen();
      append(
        wal,
        system,
        [1, 2, 3, 4, 5, 6, 7, 8].map((index) => entry(index, 1, 50)),
      );
      rig.run();
      rig.stopAt = rig.operations + at;
      let installed = false;
      wal.installed(floor(system, 20, 2), false, () => {
        installed = true;
        append(wal, system, [entry(21, 2, 300)]);
      });
      rig.run();
      rig.powerLoss(new Prng(at));
      rig.stopAt = Number.POSITIVE_INFINITY;
      const group = rig.mustOpen().groups.get(system);
      if (installed) expect(group?.floor?.index).toBe(20);
      const wanted = group?.floor === null ? [[1, 2, 3, 4, 5, 6, 7, 8]] : [[], [21]];
      expect(wanted).toContainEqual(indexes(group?.entries));
    }
  });
});
