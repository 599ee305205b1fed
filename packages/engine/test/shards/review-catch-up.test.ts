import { groupId } from "@trivet/core";
import { expect, test } from "vitest";
import { message, type Shards, withMessage } from "./support.ts";

const small = { retainBytes: 4 * 1024, walSegmentBytes: 256 * 1024, walRoomBytes: 0 };
const body = "x".repeat(4 * 1024);

function replicaOf(shards: Shards, node: string) {
  const replica = shards.cluster.member(node).host.shards?.replica(groupId(1 + (shards.queue % 4)));
  if (replica === null || replica === undefined) throw new Error(`no replica at ${node}`);
  return replica;
}
/** Traffic all the time, as fast as it is answered. */
function traffic(shards: Shards, node: string): { stopped: boolean; produced: number } {
  const state = { stopped: false, produced: 0 };
  const { host, view } = shards.cluster.member(node);
  const next = (): void => {
    if (state.stopped) return;
    const command = { type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [message(body)], ifFence: null } as const;
    host.queueStorage.submit({ queue: shards.queue, partition: 0 }, command, { timeoutMs: 5_000 }, () => {
      state.produced += 1;
      view.schedule(50, next);
    });
  };
  next();
  return state;
}
function setUp() {
  const { leader, shards } = withMessage(3, small);
  const [absent = "", other = ""] = ["n1", "n2", "n3"].filter((node) => node !== leader);
  return { shards, leader, absent, other };
}

test("a peer that died while it was sent a snapshot does not make the leader keep its log for ever (rule W1)", () => {
  const { shards, absent, leader } = setUp();
  const { cluster } = shards;
  const load = traffic(shards, leader);
  cluster.run(1_000);
  cluster.kill(absent);
  cluster.run(20_000);
  const group = replicaOf(shards, leader).group;
  cluster.member(absent).files.options = { latencyMs: ({ path }) => (path.startsWith("snapshots/") ? 1_000 : 0.1) };
  cluster.restart(absent);
  cluster.until(
    "it is being sent a snapshot",
    () => group.raft.progress().some(({ state, snapshot }) => state === "snapshot" && (snapshot?.bytes ?? 0) > 0),
    60_000,
  );
  cluster.kill(absent);
  cluster.run(60_000);
  load.stopped = true;
  expect(group.isLeader).toBe(true);
  // Two seconds of traffic are 40 entries, and 4 KiB of them are kept for others.
  expect(group.raft.lastIndex - group.raft.firstIndex).toBeLessThan(200);
});

test("a replica that was flushing while a snapshot took its state's place flushes again afterwards (rule W1)", () => {
  const { shards, absent, leader } = setUp();
  const { cluster } = shards;
  const load = traffic(shards, leader);
  cluster.run(1_000);
  cluster.kill(absent);
  cluster.run(20_000);
  cluster.restart(absent);
  // The new store takes long to become durable: meanwhile the old one is due to be flushed.
  const { stores } = cluster.member(absent);
  if (stores !== null) stores.options = { latencyMs: ({ type }) => (type === "flush" ? 6_000 : 0.2) };
  cluster.until(
    "a snapshot is installed",
    () => (cluster.member(absent).host.shards?.replica(groupId(1 + (shards.queue % 4)))?.group.snapshots.installedCount ?? 0) > 0,
    120_000,
  );
  if (stores !== null) stores.options = { latencyMs: () => 0.2 };
  const replica = replicaOf(shards, absent);
  const { firstIndex } = replica.group.raft;
  cluster.run(30_000);
  load.stopped = true;
  expect(replica.group.appliedIndex).toBeGreaterThan(firstIndex + 100);
  expect(replica.group.raft.firstIndex).toBeGreaterThan(firstIndex);
});
