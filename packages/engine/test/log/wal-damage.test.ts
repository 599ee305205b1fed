import { Prng, nodeId, term } from "@trivet/core";
import { MemoryCrypto, createLog } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { WalRig } from "./wal-rig.ts";
import { append, entry, floor, indexes, shard, system } from "./wal-writes.ts";
import type { Asked } from "./wal-writes.ts";

describe("a disk that fails", () => {
  test.each(["io", "no-space"] as const)("%s: reported once, nothing acknowledged afterwards, nothing tried again", (code) => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    const before = append(wal, system, [entry(1)]);
    rig.run();
    let faults = 0;
    rig.fault = ({ type }) => {
      if (type !== "write-durable") return null;
      faults++;
      return { type: "error", code };
    };
    const during = append(wal, system, [entry(2)]);
    rig.clock.step();
    const queued = append(wal, shard, [entry(1)]);
    rig.run();
    rig.fault = null;
    const after = append(wal, system, [entry(3)]);
    const floorAsked: Asked = { durable: false };
    wal.setFloor(floor(system, 1), () => {
      floorAsked.durable = true;
    });
    const empty = append(wal, system, []);
    rig.run();
    expect(rig.fatals.map((error) => error.code)).toEqual([code]);
    expect(faults).toBe(1);
    expect(before.durable).toBe(true);
    expect([during, queued, after, floorAsked, empty].some(({ durable }) => durable)).toBe(false);
    let closed = false;
    wal.close(() => {
      closed = true;
    });
    rig.run();
    expect(closed).toBe(true);
    expect(rig.fatals.length).toBe(1);
  });

  test("a failed sync leaves pages that read well and are on no disk: the next start writes them again", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1)]);
    rig.run();
    rig.fault = ({ type }) => (type === "write-durable" ? { type: "error", code: "io" } : null);
    append(wal, system, [entry(2)]);
    rig.run();
    rig.fault = null;
    rig.kill();
    const seen = indexes(rig.mustOpen().groups.get(system)?.entries);
    expect(seen).toEqual([1, 2]);
    rig.powerLoss(new Prng(1));
    expect(indexes(rig.mustOpen().groups.get(system)?.entries)).toEqual(seen);
  });

  test.each(["open", "rename", "sync-directory", "close"] as const)("beginning a new segment fails at %s", (type) => {
    const rig = new WalRig(400);
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1, 1, 300)]);
    rig.run();
    rig.fault = (operation) => (operation.type === type ? { type: "error", code: "io" } : null);
    const second = append(wal, system, [entry(2, 1, 300)]);
    rig.run();
    expect(second.durable).toBe(false);
    expect(rig.fatals.length).toBe(1);
  });

  test("a full disk: what fits is torn, and found as such", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1)]);
    rig.run();
    rig.files.options = { ...rig.files.options, quotaBytes: rig.files.usedBytes() + 30 };
    append(wal, system, [entry(2, 1, 200)]);
    rig.run();
    expect(rig.fatals.map((error) => error.code)).toEqual(["no-space"]);
    rig.kill();
    rig.files.options = { ...rig.files.options, quotaBytes: 1_000_000 };
    const { findings, groups, mayVote } = rig.mustOpen();
    expect(findings).toEqual([
      { type: "torn-tail", file: "wal/0000000001.wal", offset: expect.any(Number), bytes: 30, partialRecord: true },
    ]);
    expect(indexes(groups.get(system)?.entries)).toEqual([1]);
    expect(mayVote).toBe(true);
    expect(rig.files.paths()).toEqual(["wal/0000000001.wal"]);
  });

  test("a hung disk shows as the age of the oldest write", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    const asked = rig.clock.now();
    rig.fault = ({ type }) => (type === "write-durable" ? { type: "stall" } : null);
    append(wal, system, [entry(1)]);
    rig.run();
    rig.clock.advance(5000);
    append(wal, system, [entry(2)]);
    rig.run();
    expect(wal.stats().oldestUnsyncedAt).toBe(asked);
  });
});

/** A log whose last batch is rotten: it cannot be told from one that was torn, but nothing shows that it was. */
function rottenEnd(): WalRig {
  const rig = new WalRig();
  const { wal } = rig.mustOpen();
  append(wal, system, [entry(1)], { hardState: { term: term(1), vote: null } });
  rig.run();
  append(wal, shard, [entry(1)]);
  rig.run();
  append(wal, system, [entry(2)], { hardState: { term: term(2), vote: nodeId("c") } });
  rig.run();
  rig.kill();
  rig.files.flipBit("wal/0000000001.wal", (rig.files.contents("wal/0000000001.wal")?.length ?? 0) - 3, 2);
  return rig;
}

describe("a loss that may have been acknowledged (rules W3, W6)", () => {
  test("rot in the last batch: cut, no vote, also after restarts, until each group was caught up", () => {
    const rig = rottenEnd();
    const first = rig.mustOpen();
    expect(first.findings).toEqual([
      { type: "torn-tail", file: "wal/0000000001.wal", offset: expect.any(Number), bytes: expect.any(Number), partialRecord: false },
    ]);
    expect(first.mayVote).toBe(false);
    expect(indexes(first.groups.get(system)?.entries)).toEqual([1]);
    expect([...first.groups.values()].map(({ mayVote }) => mayVote)).toEqual([false, false]);
    rig.kill();
    const second = rig.mustOpen();
    expect(second.findings).toEqual([]);
    expect([...second.groups.values()].map(({ mayVote }) => mayVote)).toEqual([false, false]);
    second.wal.trust(system, () => {});
    rig.run();
    rig.kill();
    const third = rig.mustOpen();
    expect(third.groups.get(system)?.mayVote).toBe(true);
    expect(third.groups.get(shard)?.mayVote).toBe(false);
    expect(third.mayVote).toBe(false);
    third.wal.trust(null, () => {});
    rig.run();
    // The table of a later segment knows it, too.
    for (let i = 2; i < 30; i++) append(third.wal, system, [entry(i, 3, 400)]);
    rig.run();
    rig.kill();
    const fourth = rig.mustOpen();
    expect(fourth.mayVote).toBe(true);
    expect([...fourth.groups.values()].every(({ mayVote }) => mayVote)).toBe(true);
  });

  test("the same bytes in a log that was closed are within what was durable: rot, not a torn tail", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1)]);
    rig.run();
    const end = rig.files.contents("wal/0000000001.wal")?.length ?? 0;
    rig.close(wal);
    rig.files.flipBit("wal/0000000001.wal", end - 3, 2);
    expect(rig.mustOpen().findings).toEqual([
      { type: "corrupt", file: "wal/0000000001.wal", offset: expect.any(Number), detail: "bad checksum of a batch" },
    ]);
  });

  test("rot in the middle (mutant 36): the log is kept up to it, terms and floors behind it are not forgotten, and it goes on", () => {
    const rig = new WalRig(100_000);
    const { wal } = rig.mustOpen();
    const offsets: number[] = [];
    for (let i = 1; i <= 6; i++) {
      append(wal, system, [entry(i, i)], { hardState: { term: term(i), vote: nodeId(`n${i}`) }, commit: i });
      rig.run();
      offsets.push(rig.files.contents("wal/0000000001.wal")?.length ?? 0);
    }
    wal.setFloor(floor(shard, 7), () => {});
    rig.run();
    rig.kill();
    rig.files.flipBit("wal/0000000001.wal", (offsets[2] ?? 0) + 50, 0);
    const first = rig.mustOpen();
    expect(first.findings).toEqual([
      { type: "corrupt", file: "wal/0000000001.wal", offset: offsets[2], detail: "bad checksum of a batch" },
    ]);
    const group = first.groups.get(system);
    expect(indexes(group?.entries)).toEqual([1, 2, 3]);
    expect(group).toMatchObject({ hardState: { term: 6, vote: "n6" }, mayVote: false });
    expect(group?.commit).toBeLessThanOrEqual(3);
    expect(first.groups.get(shard)?.floor?.index).toBe(7);
    // The damaged file stays as evidence; what is written now is found behind it.
    append(first.wal, system, [entry(4, 7), entry(5, 7)], { hardState: { term: term(7), vote: null } });
    rig.run();
    rig.kill();
    const second = rig.mustOpen();
    expect(second.findings).toEqual([]);
    expect(second.groups.get(system)?.entries.map(({ index, term }) => `${index}.${term}`)).toEqual(["1.1", "2.2", "3.3", "4.7", "5.7"]);
    expect(second.groups.get(system)?.mayVote).toBe(false);
    expect(rig.files.contents("wal/0000000001.wal")?.length).toBeGreaterThan(offsets[5] ?? 0);
  });

  test("a log that was created but never written is not lost", () => {
    const rig = new WalRig();
    let created = false;
    createLog(rig.files, new MemoryCrypto(), "wal", (error) => {
      expect(error).toBeNull();
      created = true;
    });
    rig.run();
    expect(created).toBe(true);
    rig.powerLoss(new Prng(1));
    expect(rig.mustOpen(true)).toMatchObject({ findings: [], mayVote: true });
  });

  test("an identity without a log: the log is lost (rule G5)", () => {
    const rig = new WalRig();
    const first = rig.mustOpen(true);
    expect(first.findings).toEqual([{ type: "corrupt", file: "wal", offset: 0, detail: "the log is missing" }]);
    expect(first.mayVote).toBe(false);
    rig.kill();
    expect(rig.mustOpen(true)).toMatchObject({ findings: [], mayVote: false });
  });
});

describe("what kind of loss it was (rules W3, W6)", () => {
  guard("wal-doubt-kind-forgotten", "a torn end is told from damage, also after restarts", () => {
    const rig = rottenEnd();
    for (let start = 0; start < 3; start++) {
      const opened = rig.mustOpen();
      expect(opened.doubt).toBe("torn-tail");
      expect([...opened.groups.values()].map(({ doubt }) => doubt)).toEqual(["torn-tail", "torn-tail"]);
      rig.kill();
    }
  });

  test("a torn end does not mend damage of before; once every group was caught up, it is a torn end again", () => {
    const rig = new WalRig(100_000);
    const first = rig.mustOpen();
    const offsets: number[] = [];
    for (let i = 1; i <= 4; i++) {
      append(first.wal, system, [entry(i)]);
      rig.run();
      offsets.push(rig.files.contents("wal/0000000001.wal")?.length ?? 0);
    }
    rig.kill();
    rig.files.flipBit("wal/0000000001.wal", (offsets[0] ?? 0) + 50, 0);
    const rotEnd = (sequence: number): void => {
      const path = `wal/000000000${sequence}.wal`;
      rig.files.flipBit(path, (rig.files.contents(path)?.length ?? 0) - 3, 2);
    };
    const damaged = rig.mustOpen();
    expect(damaged.groups.get(system)?.doubt).toBe("damage");
    append(damaged.wal, system, [entry(2)]);
    rig.run();
    rig.kill();
    rotEnd(2);
    const still = rig.mustOpen();
    expect(still.findings).toMatchObject([{ type: "torn-tail" }]);
    expect(still.groups.get(system)?.doubt).toBe("damage");
    still.wal.trust(system, () => {});
    rig.run();
    append(still.wal, system, [entry(2)]);
    rig.run();
    rig.kill();
    rotEnd(3);
    expect(rig.mustOpen().groups.get(system)?.doubt).toBe("torn-tail");
  });

  test("one group alone in doubt: known after restarts and in later segments, until it is trusted", () => {
    const rig = new WalRig();
    const { wal } = rig.mustOpen();
    append(wal, system, [entry(1)]);
    append(wal, shard, [entry(1)]);
    wal.distrust(system, "a snapshot is gone", () => {});
    rig.run();
    for (let i = 2; i < 30; i++) append(wal, system, [entry(i, 3, 400)]);
    rig.run();
    rig.kill();
    const second = rig.mustOpen();
    expect(second).toMatchObject({ findings: [], mayVote: true });
    expect(second.groups.get(system)).toMatchObject({ mayVote: false, doubt: "damage" });
    expect(second.groups.get(shard)).toMatchObject({ mayVote: true, doubt: null });
    second.wal.trust(system, () => {});
    rig.run();
    rig.kill();
    expect(rig.mustOpen().groups.get(system)?.mayVote).toBe(true);
  });
});
