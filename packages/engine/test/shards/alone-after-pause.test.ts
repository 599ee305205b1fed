import { expect } from "vitest";
import { acquire, Cluster, Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { longPoll, withMessage } from "./support.ts";

// A leader that is its group's only voter sends no heartbeats: nothing but its own wish to read ends the idle turn.

guard(
  "host-read-asked-by-chance",
  "alone and idle, a shard's leader that was paused still ends the leases of who is gone (rules L2, L3)",
  () => {
    const { cluster, shards } = withMessage(1);
    expect(shards.consume("n1", 1, { visibilityMs: 5_000 })).toHaveLength(1);
    const told = new Told<unknown>();
    cluster.member("n1").host.queues.consume(longPoll, { timeoutMs: 70_000 }, told.hear);
    cluster.run(3_000);
    const { view } = cluster.member("n1");
    view.pause();
    cluster.run(1_000);
    view.resume();
    cluster.until("the message is handed out again", () => told.value !== null, 10_000);
    expect(told.value).toMatchObject({ type: "consumed", messages: [{ acquired: 2 }] });
  },
);

guard("host-read-asked-by-chance", "alone and idle, a leader that was paused still ends the leases of locks (rules L2, L3)", () => {
  const cluster = Cluster.of(1);
  cluster.untilReady();
  cluster.submit("n1", acquire("a", "alice", { ttlMs: 5_000 }));
  const waits = cluster.begin("n1", acquire("a", "bob", { waitMs: 60_000 }), { timeoutMs: 70_000 });
  cluster.run(3_000);
  const { view } = cluster.member("n1");
  view.pause();
  cluster.run(1_000);
  view.resume();
  cluster.until("the lock is granted to who waits", () => waits.value !== null, 10_000);
  expect(waits.value).toMatchObject({ type: "answered", result: { type: "granted" } });
});
