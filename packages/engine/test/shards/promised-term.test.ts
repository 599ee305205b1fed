import { nodeId } from "@trivet/core";
import { expect } from "vitest";
import { guard } from "../hosts/guard.ts";
import { withMessage } from "./support.ts";

guard(
  "shard-given-term-in-memory",
  "a term that was heard of just before a shard was given away is on disk before entries of it are (rule W2)",
  () => {
    const { cluster, group, leader } = withMessage();
    const [heir = "", back = ""] = ["n1", "n2", "n3"].filter((node) => node !== leader);
    const member = cluster.member(back);
    const given = member.host.shards?.replica(group);
    const old = cluster.member(leader).host.shards?.replica(group);
    if (member.stores === null || given === null || given === undefined || old === null || old === undefined) throw new Error("no replica");
    // Its store is flushed late: the log alone tells of terms.
    member.stores.options = { latencyMs: ({ type }) => (type === "flush" ? 60_000 : 0.2) };
    const before = given.group.term();
    const receive = given.group.receive.bind(given.group);
    given.group.receive = (message) => {
      receive(message);
      // In the same turn its store turns out to be damaged.
      if (message.term > before)
        member.host.shards?.storeFailed(given, { type: "failed", cause: "damaged", detail: "a page cannot be read" });
    };
    old.group.raft.step({ type: "transfer", to: nodeId(heir) });
    old.markDirty();
    cluster.until("it is back and votes", () => {
      const replica = member.host.shards?.replica(group) ?? null;
      return replica !== null && replica !== given && replica.group.raft.mayVote && replica.group.raft.lastTerm > before;
    });
    cluster.run(500);
    cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: [from, to].includes(member.url) ? [] : [0.2] }) };
    cluster.kill(back);
    member.stores.options = { latencyMs: () => 0.2 };
    cluster.restart(back);
    cluster.until("it is open", () => (member.host.shards?.replica(group) ?? null) !== null);
    const raft = member.host.shards?.replica(group)?.group.raft;
    expect(raft?.lastTerm).toBeGreaterThan(before);
    expect(raft?.term).toBeGreaterThanOrEqual(raft?.lastTerm ?? 0);
  },
);
