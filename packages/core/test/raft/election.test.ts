import { describe, expect, test } from "vitest";
import { logIndex, nodeId } from "@trivet/core";
import { append, elect, hardState, logOf, membershipOf, message, under, vote, voteRequest } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };
const five = { voters: ["a", "b", "c", "d", "e"] };

describe("votes", () => {
  guard("raft-02-vote-reply-before-durable", "a vote is told only when it is durable", () => {
    const c = new Cluster(three);
    c.deliver(voteRequest("a", "b", 1, [0, 0]));
    expect(under(c, "vote-reply", { from: "b" })).toEqual([]);
    c.flush("b");
    expect(under(c, "vote-reply", { from: "b" })).toMatchObject([{ granted: true }]);
  });

  guard("raft-03-vote-without-term", "term and vote are one record", () => {
    const c = new Cluster(three);
    c.deliver(voteRequest("a", "b", 3, [0, 0]));
    expect(c.node("b").writes.map(({ effects }) => effects.hardState)).toEqual([{ term: 3, vote: "a" }]);
  });

  guard("raft-04-step-down-clears-vote", "hearing the leader of one's term does not free the vote of that term", () => {
    const c = new Cluster(three);
    c.deliver(voteRequest("a", "b", 1, [0, 0]));
    c.deliver(append("a", "b", 1, [0, 0], []));
    expect(c.group("b").vote).toBe("a");
    c.deliver(voteRequest("c", "b", 1, [9, 1]));
    c.flush("b");
    expect(under(c, "vote-reply", { to: "c" })).toMatchObject([{ granted: false }]);
  });

  guard("raft-05-votes-counted", "a repeated vote is one vote", () => {
    const c = new Cluster(five);
    c.campaign("a");
    for (const id of ["b", "c"]) c.deliver(vote(id, "a", 1, true, true));
    c.flush("a");
    expect(c.group("a").role).toBe("candidate");
    for (let i = 0; i < 4; i++) c.deliver(vote("b", "a", 1));
    expect(c.group("a").role).toBe("candidate");
    c.deliver(vote("c", "a", 1));
    expect(c.group("a").role).toBe("leader");
  });

  guard("raft-06-up-to-date-by-index", "a longer log of an older term does not win a vote", () => {
    const c = new Cluster(three);
    c.createFrom("b", { hardState: hardState(3), entries: logOf(1, 3) });
    c.deliver(voteRequest("a", "b", 4, [5, 2]));
    c.flush("b");
    expect(under(c, "vote-reply", { from: "b" })).toMatchObject([{ granted: false }]);
  });

  test("a later last term wins over a longer log; of equal last terms the longer log", () => {
    const c = new Cluster(five);
    for (const id of ["b", "c", "d"]) c.createFrom(id, { hardState: hardState(3), entries: logOf(1, 3, 3) });
    c.deliver(voteRequest("a", "b", 4, [1, 4]));
    c.deliver(voteRequest("a", "c", 4, [3, 3]));
    c.deliver(voteRequest("a", "d", 4, [2, 3]));
    for (const id of ["b", "c", "d"]) c.flush(id);
    expect(under(c, "vote-reply").map((m) => m.granted)).toEqual([true, true, false]);
  });

  guard("raft-07-own-vote-before-fsync", "nobody is asked for a vote before the candidate's own is durable", () => {
    const c = new Cluster(three);
    c.campaign("a");
    c.deliver(vote("b", "a", 1, true, true));
    expect(c.group("a").role).toBe("candidate");
    expect(under(c, "vote").filter((m) => !m.pre)).toEqual([]);
    c.flush("a");
    expect(under(c, "vote").filter((m) => !m.pre)).toHaveLength(2);
  });

  guard("raft-19-learner-refuses-to-vote", "a node that does not know it was promoted votes", () => {
    const c = new Cluster({ voters: ["a", "b"], learners: ["c"] });
    c.deliver(voteRequest("b", "c", 1, [0, 0]));
    c.flush("c");
    expect(under(c, "vote-reply", { from: "c" })).toMatchObject([{ granted: true }]);
  });

  test("a candidate that a quorum refuses is a follower at once, and says who was silent and who refused", () => {
    const c = new Cluster(three);
    for (const id of ["b", "c"]) c.createFrom(id, { hardState: hardState(1), entries: logOf(1) });
    c.createFrom("a", { hardState: hardState(1) });
    c.isolate("c");
    c.campaign("a");
    c.settle();
    expect(c.group("a").role).toBe("pre-candidate");
    c.run(2000, () => c.node("a").noticesOf("election-failed").length > 0);
    expect(c.node("a").noticesOf("election-failed")[0]).toMatchObject({ silent: ["c"], refused: ["b"] });
    c.heal();
    c.campaign("a");
    c.settle();
    expect(c.group("a").role).toBe("follower");
    expect(c.group("a").term).toBe(1);
  });

  test("a vote in a higher term is not counted for this one, nor a PreVote as a vote", () => {
    const c = new Cluster(three);
    c.campaign("a");
    c.deliver(vote("b", "a", 7, true, true));
    expect(c.group("a").role).toBe("pre-candidate");
    c.deliver(vote("b", "a", 1, true, true));
    c.flush("a");
    c.deliver(vote("b", "a", 1, true, true));
    expect(c.group("a").role).toBe("candidate");
  });
});

describe("disruption", () => {
  guard("raft-40-no-prevote", "a node that is cut off does not raise its term, and does not disturb when it returns", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("c");
    c.run(5000);
    expect(c.group("c").term).toBe(1);
    c.heal();
    c.run(1000);
    expect(c.group("a").role).toBe("leader");
    expect(c.group("a").term).toBe(1);
  });

  guard("raft-40-no-check-quorum", "a leader that no quorum hears steps down within two election timeouts", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("a");
    expect(c.run(1300, () => c.group("a").role !== "leader")).toBe(true);
  });

  guard("raft-40-no-stickiness", "whoever hears a leader neither votes nor adopts a higher term", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.deliver(voteRequest("c", "b", 9, [99, 9]));
    c.flush("b");
    expect(c.group("b").term).toBe(1);
    expect(under(c, "vote-reply", { to: "c" })).toMatchObject([{ granted: false }]);
  });

  test("under a partial partition the node that hears nobody's leader does not keep the others from having one", () => {
    const c = new Cluster(three);
    elect(c, "a");
    // c still reaches b, but not the leader.
    c.cut = (m) => (m.from === "a" && m.to === "c") || (m.from === "c" && m.to === "a");
    c.run(5000);
    expect(c.group("a").role).toBe("leader");
    expect(c.group("a").term).toBe(1);
  });

  test("a stale leader is told of the new term and steps down", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("a");
    c.run(3000, () => c.group("b").role === "leader" || c.group("c").role === "leader");
    expect(c.leader?.id).not.toBe("a");
    c.heal();
    c.run(200);
    expect(c.group("a").role).toBe("follower");
    expect(c.group("a").leader).toBe(c.leader?.id);
  });

  test("the leader's closed connection starts an election early", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.crash("a");
    for (const id of ["b", "c"]) c.step(id, { type: "peer-down", peer: nodeId("a") });
    // Well below the shortest election timeout of 300 ms.
    expect(c.run(200, () => c.leader !== null)).toBe(true);
  });

  test("a closed connection alone does not unseat a leader that the others hear", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.step("b", { type: "peer-down", peer: nodeId("a") });
    c.run(2000);
    expect(c.group("a").role).toBe("leader");
    expect(c.group("b").leader).toBe("a");
    expect(c.group("b").term).toBe(1);
  });
});

describe("time", () => {
  test("election timeouts are random and within their bounds", () => {
    const waits = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const c = new Cluster({ ...three, seed });
      const from = c.now;
      while (c.running.every((node) => node.group.role === "follower")) {
        c.now += 1;
        for (const node of c.running) node.group.step({ type: "tick", now: c.now });
      }
      waits.add(c.now - from);
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(300);
    expect(Math.max(...waits)).toBeLessThanOrEqual(600);
    expect(waits.size).toBeGreaterThan(10);
  });

  test("a follower that did not run does not take its own pause for the leader's silence", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.tick(5000, ["b"]);
    expect(c.group("b").role).toBe("follower");
    expect(c.group("b").leader).toBe("a");
  });

  test("a leader that did not run is not deposed by its own pause, but by a quorum's silence after it", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("a");
    c.tick(5000, ["a"]);
    expect(c.group("a").role).toBe("leader");
    expect(c.run(1000, () => c.group("a").role !== "leader")).toBe(true);
  });

  test("no time, no effects: an idle follower asks for nothing", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.step("b", { type: "tick", now: c.now + 1 });
    expect(c.group("b").hasEffects()).toBe(false);
    expect(c.group("a").hasEffects()).toBe(false);
  });
});

describe("a stalled disk", () => {
  test("unseats the leader, which tells the best successor to stand", () => {
    const c = new Cluster({ ...three, config: { diskStallMs: 400 } });
    elect(c, "a");
    c.propose("a", "x");
    // The leader's own write never completes; the network is fine.
    const until = c.now + 3000;
    while (c.now < until && c.group("a").role === "leader") {
      for (const id of ["b", "c"]) c.flush(id);
      while (c.deliverOne());
      c.tick(5);
    }
    expect(c.node("a").noticesOf("role").at(-1)).toMatchObject({ role: "follower", reason: "its disk stalls" });
    for (let i = 0; i < 10; i++) {
      for (const id of ["b", "c"]) c.flush(id);
      while (c.deliverOne());
    }
    expect(["b", "c"]).toContain(c.leader?.id);
    expect(c.values(c.leader?.id ?? "")).toEqual(["x"]);
  });

  test("keeps a node from standing for election, and from accepting to be asked", () => {
    const c = new Cluster({ ...three, config: { diskStallMs: 100 } });
    c.deliver(append("b", "a", 1, [0, 0], logOf(1)));
    c.tick(101, ["a"]);
    c.campaign("a");
    expect(c.group("a").role).toBe("follower");
    c.deliver(message("timeout-now", "b", "a", 1, {}));
    expect(c.group("a").role).toBe("follower");
    c.flush("a");
    c.campaign("a");
    expect(c.group("a").role).toBe("pre-candidate");
  });

  test("does not unseat the only voter: nobody else could lead", () => {
    const c = new Cluster({ voters: ["a"], config: { diskStallMs: 100 } });
    elect(c, "a");
    c.propose("a", "x");
    c.tick(500);
    expect(c.group("a").role).toBe("leader");
    c.settle();
    expect(c.values("a")).toEqual(["x"]);
  });
});

describe("who may stand", () => {
  test("a node whose state is in doubt hands over, votes, and does not stand (W7)", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.step("a", { type: "may-lead", allowed: false });
    expect(c.group("a").role).toBe("follower");
    c.settle();
    expect(["b", "c"]).toContain(c.leader?.id);
    expect(c.group("a").vote).toBe(c.leader?.id);
    c.campaign("a");
    expect(c.group("a").role).toBe("follower");
    c.step("a", { type: "may-lead", allowed: true });
    c.campaign("a");
    expect(c.group("a").role).toBe("pre-candidate");
  });

  test("learners, strangers and removed nodes never do", () => {
    const c = new Cluster({ voters: ["a", "b"], learners: ["c"], spare: ["d"] });
    c.createFrom("e", { membership: membershipOf("ab"), commit: logIndex(0) });
    c.cut = () => true;
    c.run(5000);
    for (const id of ["c", "d", "e"]) expect(c.group(id).role).toBe("follower");
    expect(c.group("a").role).toBe("pre-candidate");
  });

  guard("raft-removed-voter-does-not-stand", "a voter whose removal is not committed still stands: it may hold the longest log", () => {
    const c = new Cluster({ voters: ["a", "b"] });
    elect(c, "a");
    c.cut = (m) => m.to === "b";
    c.change("a", { remove: ["a"] });
    c.flush("a");
    c.crash("a");
    c.heal();
    c.restart("a");
    // Only a has the entry that removes it, and b cannot win against its longer log.
    expect(c.run(5000, () => c.group("b").role === "leader")).toBe(true);
    expect(c.group("b").membership.voters).toEqual(["b"]);
    expect(c.group("a").role).toBe("follower");
  });
});
