import { groupId } from "@trivet/core";
import { expect, test } from "vitest";
import { type Begun, message, withMessage } from "./support.ts";

/** One produce every tenth of a millisecond, and how many entries they became. */
function produced({ shards, leader }: Begun, count: number, gapMs: number, body: string): number {
  const { cluster, queue } = shards;
  const { host, view } = cluster.member(leader);
  const replica = host.shards?.replica(groupId(1 + (queue % 4)));
  if (replica === null || replica === undefined) throw new Error(`no replica at ${leader}`);
  const { raft } = replica.group;
  const before = raft.lastIndex;
  let answered = 0;
  for (let n = 0; n < count; n++) {
    view.schedule(n * gapMs, () => {
      const command = { type: "produce", queue, partition: 0, version: 1, messages: [message(body)], ifFence: null } as const;
      host.queueStorage.submit({ queue, partition: 0 }, command, { timeoutMs: 5_000 }, ({ type }) => {
        if (type === "answered") answered++;
      });
    });
  }
  cluster.until("all are answered", () => answered === count, 10_000);
  return raft.lastIndex - before;
}

test("what arrives while an entry of a shard is under way shares the next one", () => {
  expect(produced(withMessage(), 100, 0.05, "x")).toBeLessThan(25);
});

test("nobody waits for an entry that is long through: each turn has its own", () => {
  expect(produced(withMessage(), 20, 20, "x")).toBeGreaterThanOrEqual(20);
});

test("large ones do not wait for each other", () => {
  // More than 64 KiB gather while one is under way.
  expect(produced(withMessage(), 40, 0.05, "x".repeat(40 * 1024))).toBeGreaterThanOrEqual(20);
});
