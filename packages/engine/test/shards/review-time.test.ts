import { expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { longPoll, message, withMessage } from "./support.ts";

test.each([true, false])(
  "a deadline that is met in the tick in which leadership begins to move is not forgotten (the move succeeds: %s)",
  (succeeds) => {
    const { cluster, group, leader, shards } = withMessage();
    const to = [...cluster.members.keys()].find((node) => node !== leader) ?? "";
    const later = message("later", { delayMs: 2_000 });
    shards.ask("n1", { type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [later], ifFence: null });
    expect(shards.consume("n1")).toHaveLength(1);
    // It waits in memory: nothing but the passing of time puts an entry into the log.
    const told = new Told<unknown>();
    cluster.member(leader).host.queues.consume(longPoll, { timeoutMs: 70_000 }, told.hear);
    cluster.run(1_000);
    if (!succeeds) cluster.kill(to);
    const host = cluster.member(leader).host.shards?.replica(group)?.group;
    if (host === undefined) throw new Error("no leader");
    const enqueueTime = host.enqueueTime.bind(host);
    let begun = 0;
    host.enqueueTime = () => {
      const taken = enqueueTime();
      if (taken && begun++ === 0) host.raft.step({ type: "transfer", to: to as never });
      return taken;
    };
    cluster.until("the transfer has begun", () => begun > 0);
    if (!succeeds) expect(host.raft.transferring).toBe(to);
    cluster.until("the message is handed out", () => told.value !== null, 3_000);
    expect(told.value).toMatchObject({ type: "consumed", messages: [{}] });
    expect(host.isLeader).toBe(!succeeds);
    expect(host.isLeader).toBe(!succeeds);
  },
);
