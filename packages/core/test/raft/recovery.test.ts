import { describe, expect, test } from "vitest";
import { logIndex } from "@trivet/core";
import { append, elect, logOf, under, voteRequest } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };
const progressOf = (c: Cluster, leader: string, peer: string) =>
  c
    .group(leader)
    .progress()
    .find((p) => p.peer === peer);

/** `a` leads, all have `values`; then c loses its log and comes back untrusted. */
function damaged(values = 10): Cluster {
  const c = new Cluster(three);
  elect(c, "a");
  for (let i = 0; i < values; i++) c.propose("a", `v${i}`);
  c.settle();
  c.wipe("c");
  c.restart("c");
  return c;
}

describe("a node that lost durable state (W3, W6, G5)", () => {
  guard("raft-w6-damaged-node-votes", "does not vote", () => {
    const c = new Cluster(three);
    c.createFrom("c", { damaged: true });
    c.deliver(voteRequest("b", "c", 1, [99, 1]));
    c.deliver(voteRequest("b", "c", 1, [99, 1], true));
    c.flush("c");
    expect(under(c, "vote-reply", { from: "c" }).map((m) => m.granted)).toEqual([false, false]);
  });

  guard("raft-w6-damaged-node-votes", "does not campaign", () => {
    const c = new Cluster(three);
    c.createFrom("c", { damaged: true });
    c.campaign("c");
    expect(c.group("c").role).toBe("follower");
  });

  test("lets nothing be committed by its acknowledgements", () => {
    const c = damaged();
    c.crash("b");
    const before = c.group("a").commitIndex;
    c.propose("a", "x");
    c.run(300);
    // c has everything, and still a alone is no quorum.
    expect(progressOf(c, "a", "c")).toMatchObject({ match: c.group("a").lastIndex, recovering: true });
    expect(c.group("a").commitIndex).toBe(before);
  });

  test("confirms no leadership, for reads or for office", () => {
    const c = damaged();
    // It never gets the answer that would let it recover.
    c.cut = (m) => m.type === "read-reply" && m.to === "c";
    c.run(100);
    c.crash("b");
    c.read("a", 1);
    c.run(300);
    expect(c.node("a").reads).toEqual([]);
    expect(c.run(1500, () => c.group("a").role !== "leader")).toBe(true);
    expect(c.node("a").reads).toEqual([{ context: 1, index: 0 }]);
  });

  test("makes the leader forget what it once acknowledged, and is refilled", () => {
    const c = damaged();
    expect(progressOf(c, "a", "c")?.match).toBe(11);
    c.run(2000, () => c.group("c").mayVote);
    expect(c.values("c")).toEqual(c.values("a"));
  });

  test("takes part again once it has all that the leader had at first contact, and an election timeout has passed", () => {
    const c = damaged();
    const from = c.now;
    expect(c.run(5000, () => c.group("c").mayVote)).toBe(true);
    expect(c.now - from).toBeGreaterThanOrEqual(600);
    expect(c.node("c").noticesOf("recovered")).toEqual([{ type: "recovered", index: 11 }]);
    c.crash("b");
    c.propose("a", "x");
    c.run(300);
    expect(c.values("a").at(-1)).toBe("x");
    expect(progressOf(c, "a", "c")?.recovering).toBe(false);
  });

  test("never votes for another in the term it recovered in: it may have voted then, and forgotten", () => {
    const c = damaged();
    c.run(5000, () => c.group("c").mayVote);
    expect(c.group("c").vote).toBe("a");
    c.crash("a");
    c.run(700, () => c.group("c").leader === null);
    c.network = [];
    c.deliver(voteRequest("b", "c", 1, [99, 1]));
    c.flush("c");
    expect(under(c, "vote-reply", { from: "c" }).filter((m) => !m.pre)).toMatchObject([{ granted: false }]);
  });

  test("waits for what the leader had not committed yet: it may have acknowledged that", () => {
    const c = damaged();
    // Entries that only a has; c is answered with a's last index, not its commit index.
    c.cut = (m) => m.type === "append";
    c.propose("a", "tail");
    c.run(2000);
    expect(c.group("c").mayVote).toBe(false);
    c.heal();
    expect(c.run(2000, () => c.group("c").mayVote)).toBe(true);
    expect(c.node("c").noticesOf("recovered")[0]?.index).toBe(12);
  });

  test("asks again when the leader changes before it is done", () => {
    const c = damaged();
    c.cut = (m) => m.to === "c" && m.type === "append";
    c.run(300);
    c.crash("a");
    expect(c.run(5000, () => c.leader !== null)).toBe(false);
    // b alone cannot be elected: c does not vote.
    c.restart("a");
    expect(c.run(5000, () => c.leader !== null)).toBe(true);
    c.heal();
    expect(c.run(5000, () => c.group("c").mayVote)).toBe(true);
  });

  test("as part of its log: the rest is fetched, and only the rest", () => {
    const c = new Cluster(three);
    elect(c, "a");
    for (let i = 0; i < 10; i++) c.propose("a", `v${i}`);
    c.settle();
    c.crash("c");
    c.node("c").disk.entries.length = 5;
    Object.assign(c.node("c").disk, { commit: logIndex(5), damaged: true });
    c.restart("c");
    expect(c.run(5000, () => c.group("c").mayVote)).toBe(true);
    expect(c.values("c")).toEqual(c.values("a"));
    const sent = c
      .node("a")
      .sent.filter((m) => m.type === "append" && m.to === "c" && m.prevIndex < 5 && m.entries.length > 0 && m.term === 1);
    expect(sent.every((m) => m.type === "append" && m.prevIndex < 11)).toBe(true);
  });

  test("is refilled by a snapshot when the log is compacted", () => {
    const c = damaged(40);
    c.compact("a");
    expect(c.run(5000, () => c.group("c").mayVote)).toBe(true);
    expect(c.values("c")).toEqual(c.values("a"));
  });

  test("follows: it hears the leader and answers, marked as recovering", () => {
    const c = new Cluster(three);
    c.createFrom("c", { damaged: true });
    c.deliver(append("a", "c", 1, [0, 0], logOf(1)));
    c.flush("c");
    expect(under(c, "append-reply")).toMatchObject([{ rejected: false, index: 1, recovering: true }]);
    expect(under(c, "read", { from: "c" })).toMatchObject([{ recovering: true }]);
  });
});
