import { expect, test } from "vitest";
import { acquire } from "../hosts/cluster.ts";
import { Shards } from "./support.ts";

const small = { walSegmentBytes: 64 * 1024, walRoomBytes: 0, retainBytes: 64 * 1024 };

function fill(shards: Shards, rounds: number): void {
  const body = "x".repeat(8 * 1024);
  for (let round = 0; round < rounds; round++) {
    shards.produce("n1", body, body, body, body);
    shards.ack("n1", shards.consume("n1"));
  }
}
const segments = (shards: Shards): readonly number[] =>
  ["n1", "n2", "n3"].map((node) => shards.cluster.member(node).host.wal?.stats().segments ?? 0);
test("the log does not grow for ever where only one shard is busy (rule W1): group 0 and idle shards hold nothing back", () => {
  const shards = new Shards(3, small);
  shards.untilLed();
  shards.define("orders");
  fill(shards, 100);
  shards.cluster.run(30_000);
  expect(Math.max(...segments(shards))).toBeLessThan(12);
});

test("a shard that was busy once does not hold the log back when it is idle", () => {
  const shards = new Shards(3, { ...small, retainBytes: 4 * 1024, snapshotEveryEntries: 20 });
  shards.untilLed();
  const queues = Array.from({ length: 5 }, (_, index) => shards.define(`q${index}`));
  shards.queue = queues[0] ?? 0;
  shards.produce("n1", "small");
  shards.queue = queues[1] ?? 0;
  for (let round = 0; round < 100; round++) {
    fill(shards, 1);
    // Group 0 is busy too, so that it holds nothing back.
    for (const name of ["a", "b"]) {
      const outcome = shards.cluster.submit("n1", acquire(name, "me", { ttlMs: 60_000 + round }));
      if (outcome.type !== "answered") throw new Error(JSON.stringify(outcome));
    }
  }
  shards.cluster.run(30_000);
  expect(Math.max(...segments(shards))).toBeLessThan(12);
});

test("group 0 lets go of the log also where only followers of it have much to write", () => {
  const shards = new Shards(5, small);
  const { cluster } = shards;
  shards.untilLed();
  const quiet = cluster.leader();
  if (quiet === null) throw new Error("no leader");
  for (let queue = 0; queue < 8; queue++) {
    shards.define(`q${queue}`);
    if ((quiet.host.shards?.replica((1 + (shards.queue % 4)) as never) ?? null) === null) break;
  }
  expect(quiet.host.shards?.replica((1 + (shards.queue % 4)) as never) ?? null).toBeNull();
  const node = [...cluster.members.keys()].find(
    (name) => (cluster.member(name).host.shards?.replica((1 + (shards.queue % 4)) as never) ?? null) !== null,
  );
  const body = "x".repeat(8 * 1024);
  const { queue } = shards;
  for (let phase = 0; phase < 2; phase++) {
    for (let round = 0; round < 100; round++) {
      shards.produce(node ?? "n1", body, body, body, body);
      cluster.run(50);
    }
    // The second snapshot keeps the log from the first one on.
    if (phase === 0) shards.define("late");
    shards.queue = queue;
  }
  cluster.run(30_000);
  expect(cluster.leader()).toBe(quiet);
  expect(cluster.member(node ?? "n1").host.wal?.stats().heldBackBy).not.toBe(0);
  expect(cluster.member(node ?? "n1").host.wal?.stats().segments).toBeLessThan(12);
});
