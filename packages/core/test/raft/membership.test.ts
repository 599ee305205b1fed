import { describe, expect, test } from "vitest";
import {
  changeMembership,
  logIndex,
  membershipProblem,
  nodeId,
  Prng,
  targetOf,
  votersOf,
  type Membership,
  type NodeId,
} from "@trivet/core";
import { MembershipHistory } from "../../src/raft/membership-history.ts";
import { committedIndex, majority } from "../../src/raft/quorum.ts";
import { accepted, append, configEntry, elect, entry, hardState, logOf, membershipOf, vote } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };
const refusals = (c: Cluster, id: string): string[] =>
  c
    .node(id)
    .noticesOf("membership-refused")
    .map((n) => n.reason);

describe("quorums of a configuration", () => {
  guard("raft-16-joint-quorum-on-union", "in a joint phase both halves must agree, for entries", () => {
    const c = new Cluster({ voters: [] });
    const joint = membershipOf("ade", "abc");
    for (const id of ["a", "b", "c", "d", "e"]) c.createFrom(id, { membership: joint });
    elect(c, "a");
    c.cut = (m) => ["b", "c"].includes(m.from);
    c.propose("a", "x");
    c.settle();
    // a, d and e are a majority of the five, but only one of a, b and c.
    expect(c.group("a").commitIndex).toBe(1);
    c.heal();
    c.run(200);
    expect(c.group("a").commitIndex).toBe(2);
  });

  guard("raft-16-joint-quorum-on-union", "in a joint phase both halves must agree, for votes", () => {
    const c = new Cluster({ voters: [] });
    c.createFrom("a", { membership: membershipOf("ade", "abc") });
    c.campaign("a");
    for (const id of ["d", "e"]) c.deliver(vote(id, "a", 1, true, true));
    expect(c.group("a").role).toBe("pre-candidate");
    c.deliver(vote("b", "a", 1, true, true));
    expect(c.group("a").role).toBe("candidate");
  });

  guard("raft-17-unsorted-quorum", "the value a majority has reached, in whatever order peers are listed", () => {
    const match: Record<string, number> = { a: 100, b: 101, c: 99 };
    expect(committedIndex(membershipOf("abc"), (id) => match[id] ?? 0)).toBe(100);
  });

  guard("raft-18-learner-counted", "learners are replicated to and counted nowhere", () => {
    const c = new Cluster({ voters: ["a", "b"], learners: ["c", "d"] });
    elect(c, "a");
    c.isolate("b");
    c.propose("a", "x");
    c.settle();
    expect(c.group("d").lastIndex).toBe(2);
    expect(c.group("a").commitIndex).toBe(1);
  });
});

describe("a change", () => {
  guard("raft-20-change-before-own-term-commit", "is refused until the leader has committed an entry of its term", () => {
    const c = new Cluster({ ...three, spare: ["d"] });
    elect(c, "a");
    // b takes over and cannot reach anyone: what a may have appended meanwhile is not settled.
    c.cut = (m) => m.type === "append";
    c.transfer("a", "b");
    c.settle();
    expect(c.group("b").role).toBe("leader");
    c.change("b", { addVoters: ["d"] });
    expect(c.group("b").membership.voters).toEqual(["a", "b", "c"]);
    expect(refusals(c, "b")).toEqual(["the leader has not committed an entry of its term yet"]);
    c.heal();
    c.run(200);
    c.change("b", { addVoters: ["d"] });
    expect(c.group("b").membership.voters).toEqual(["a", "b", "c", "d"]);
  });

  guard("raft-21-config-active-at-commit", "is in force when it is appended, and the next waits for its commit", () => {
    const c = new Cluster({ ...three, spare: ["d"] });
    elect(c, "a");
    c.cut = () => true;
    c.change("a", { addVoters: ["d"] });
    expect(c.group("a").membership.voters).toEqual(["a", "b", "c", "d"]);
    expect(c.node("a").noticesOf("membership").at(-1)).toMatchObject({ index: 2, committed: false });
    c.change("a", { remove: ["b"] });
    expect(refusals(c, "a")).toEqual(["the change at index 2 is not committed yet"]);
    c.heal();
    c.run(500);
    c.change("a", { remove: ["b"] });
    c.settle();
    expect(c.group("d").membership.voters).toEqual(["a", "c", "d"]);
    expect(c.node("d").noticesOf("membership").at(-1)).toMatchObject({ committed: true });
  });

  guard("raft-22-truncation-keeps-config", "is reverted when its entry is truncated", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [0, 0], [entry(1, 1), configEntry(2, 1, membershipOf("abcd"))]));
    expect(c.group("b").membership.voters).toEqual(["a", "b", "c", "d"]);
    c.deliver(append("c", "b", 2, [1, 1], [entry(2, 2)]));
    expect(c.group("b").membership.voters).toEqual(["a", "b", "c"]);
    expect(c.group("b").membershipIndex).toBe(0);
  });

  test("of several voters goes through a joint phase that ends by itself", () => {
    const c = new Cluster({ ...three, spare: ["d", "e"] });
    elect(c, "a");
    c.cut = (m) => m.type === "append-reply";
    c.change("a", { addVoters: ["d", "e"], remove: ["b"] });
    expect(c.group("a").membership).toEqual(membershipOf("acde", "abc", "", true));
    c.settle();
    expect(c.group("a").membership.outgoing).toHaveLength(3);
    c.heal();
    c.run(500);
    for (const id of ["a", "c", "d", "e"]) expect(c.group(id).membership).toEqual(membershipOf("acde"));
    c.checkAgreement();
  });

  test("is finished by the next leader when the first one dies in the joint phase", () => {
    const c = new Cluster({ ...three, spare: ["d", "e"] });
    elect(c, "a");
    c.change("a", { addLearners: ["d", "e"] });
    c.settle();
    c.cut = (m) => m.type === "append-reply";
    c.change("a", { addVoters: ["d", "e"] });
    c.settle();
    c.heal();
    c.crash("a");
    expect(c.run(5000, () => c.leader?.group.membership.outgoing.length === 0)).toBe(true);
    expect(c.leader?.group.membership.voters).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("demotes a voter only when the joint phase ends", () => {
    const c = new Cluster({ ...three, spare: ["d"] });
    elect(c, "a");
    c.cut = () => true;
    c.change("a", { addVoters: ["d"], addLearners: ["c"] });
    expect(c.group("a").membership).toMatchObject({
      voters: ["a", "b", "d"],
      outgoing: ["a", "b", "c"],
      learners: [],
      learnersNext: ["c"],
    });
    c.heal();
    c.run(500);
    expect(c.group("a").membership).toEqual(membershipOf("abd", "", "c"));
    expect(c.group("c").isLearner).toBe(true);
  });

  test("that shrinks the quorum commits what was waiting for the larger one", () => {
    const c = new Cluster({ voters: ["a", "b"] });
    elect(c, "a");
    c.change("a", { addVoters: ["c"] });
    c.settle();
    // c never answered; a and b go on, then b dies: no quorum of three is left for the removal of c alone.
    expect(c.group("a").membership.voters).toEqual(["a", "b", "c"]);
    c.change("a", { remove: ["c"] });
    c.settle();
    expect(c.group("a").membership.voters).toEqual(["a", "b"]);
  });

  test.each([
    [{}, "the change names no node"],
    [{ addVoters: ["d"], remove: ["d"] }, "d is named twice"],
    [{ addVoters: ["d", "d"] }, "d is named twice"],
    [{ remove: ["x"] }, "x is not a member"],
    [{ remove: ["a", "b", "c"] }, "the change would leave no voter"],
    [{ addLearners: ["a", "b", "c"] }, "the change would leave no voter"],
    [{ addVoters: ["b"] }, "the change changes nothing"],
    [{ addVoters: [""] }, "a node without a name"],
    [{ addLearners: Array.from({ length: 62 }, (_, i) => `n${i}`) }, "more than 64 members"],
  ])("%j is refused: %s", (change, reason) => {
    const c = new Cluster(three);
    elect(c, "a");
    c.change("a", change);
    expect(refusals(c, "a")).toEqual([reason]);
    expect(c.group("a").lastIndex).toBe(1);
  });
});

describe("joining and leaving", () => {
  test("the founding configuration is in the log, so that a member refilled from it knows the others", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.wipe("c");
    c.restart("c");
    expect(c.group("c").membership.voters).toEqual([]);
    c.run(2000, () => c.group("c").mayVote);
    expect(c.group("c").membership.voters).toEqual(["a", "b", "c"]);
    expect(c.group("c").membershipIndex).toBe(1);
  });

  test("a new node learns, catches up, is promoted, and counts", () => {
    const c = new Cluster({ ...three, spare: ["d"] });
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.change("a", { addLearners: ["d"] });
    c.settle();
    expect(
      c
        .group("a")
        .progress()
        .find((p) => p.peer === "d"),
    ).toMatchObject({ learner: true, match: 3, state: "replicate" });
    expect(c.values("d")).toEqual(["x"]);
    c.change("a", { addVoters: ["d"] });
    c.settle();
    expect(c.group("d").isLearner).toBe(false);
    c.crash("b");
    c.propose("a", "y");
    c.settle();
    expect(c.values("d")).toEqual(["x", "y"]);
  });

  guard(
    "raft-24-removed-leader-stays",
    "a removed leader leads until that is committed, then stops, and a successor takes over at once",
    () => {
      const c = new Cluster(three);
      elect(c, "a");
      c.cut = (m) => m.type === "append-reply";
      c.change("a", { remove: ["a"] });
      c.propose("a", "x");
      c.settle();
      c.heal();
      // Its own copy does not count any more: one of b and c is not enough.
      c.deliver(accepted("b", "a", 1, 3));
      expect(c.group("a").role).toBe("leader");
      c.deliver(accepted("c", "a", 1, 3));
      expect(c.group("a").role).toBe("follower");
      expect(c.network.some((m) => m.type === "timeout-now")).toBe(true);
      c.settle();
      expect(["b", "c"]).toContain(c.leader?.id);
      c.network = [];
      c.tick(60, ["a"]);
      expect(c.network).toEqual([]);
    },
  );

  test("a removed node disturbs nobody", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("c");
    c.change("a", { remove: ["c"] });
    c.settle();
    c.heal();
    c.run(10_000);
    // c never heard that it was removed; its PreVotes are refused because the others hear their leader.
    expect(c.node("c").noticesOf("election-failed").length).toBeGreaterThan(5);
    expect(c.group("a").role).toBe("leader");
    expect(c.group("a").term).toBe(1);
  });

  test("a lone survivor of two cannot remove the other: there is no quorum for it", () => {
    const c = new Cluster({ voters: ["a", "b"] });
    elect(c, "a");
    c.crash("b");
    c.change("a", { remove: ["b"] });
    c.settle();
    // The smaller configuration is in force at append, and a alone is its quorum.
    expect(c.group("a").membership.voters).toEqual(["a"]);
    expect(c.group("a").commitIndex).toBe(2);
  });
});

describe("a configuration survives", () => {
  test("a restart, also when its entry is not committed", () => {
    const c = new Cluster(three);
    c.createFrom("b", {
      hardState: hardState(1),
      entries: [...logOf(1), configEntry(2, 1, membershipOf("abcd"))],
      membership: membershipOf("abc"),
    });
    expect(c.group("b").membership.voters).toEqual(["a", "b", "c", "d"]);
    expect(c.group("b").membershipIndex).toBe(2);
    expect(c.group("b").membershipAt(logIndex(1)).membership.voters).toEqual(["a", "b", "c"]);
  });

  test("the log's shortening up to it: what was in force at the last entry dropped is still known (rule W1)", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.isolate("a");
    c.change("a", { addLearners: ["d"] });
    const { membershipIndex, commitIndex } = c.group("a");
    expect(membershipIndex).toBe(commitIndex + 1);
    c.compact("a");
    expect(c.group("a").firstIndex).toBe(membershipIndex);
    expect(c.group("a").membershipAt(commitIndex)).toMatchObject({ index: 1, membership: { learners: [] } });
  });

  test("as history: what was in force at an index, truncation and compaction", () => {
    const history = new MembershipHistory(logIndex(0), membershipOf("a"));
    history.append(logIndex(5), membershipOf("ab"));
    history.append(logIndex(9), membershipOf("abc"));
    expect([0, 4, 5, 8, 9, 99].map((i) => votersOf(history.at(logIndex(i)).membership).length)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(history.truncatedFrom(logIndex(10))).toBe(false);
    expect(history.truncatedFrom(logIndex(9))).toBe(true);
    expect(history.current.index).toBe(5);
    history.compactedTo(logIndex(7));
    expect(history.at(logIndex(6)).membership.voters).toEqual(["a", "b"]);
    history.installed(logIndex(20), membershipOf("xyz"), logIndex(25), false);
    expect(history.current).toEqual({ index: 20, membership: membershipOf("xyz") });
  });
});

describe("whatever is asked", () => {
  test("the outcome is valid, and old and new quorums always meet", () => {
    const prng = new Prng(11);
    const all = "abcdef".split("").map(nodeId);
    const some = (p: number): NodeId[] => all.filter(() => prng.chance(p));
    let changed = 0;
    for (let i = 0; i < 5000; i++) {
      const voters = some(0.5);
      const current: Membership = { ...membershipOf(""), voters, learners: some(0.3).filter((id) => !voters.includes(id)) };
      if (voters.length === 0) continue;
      const change = { addVoters: some(0.2), addLearners: some(0.2), remove: some(0.2) };
      const outcome = changeMembership(current, change);
      if (outcome.type === "refused") continue;
      changed++;
      const next = outcome.membership;
      expect(membershipProblem(next)).toBeNull();
      expect(next.voters).toEqual(targetOf(current, change).voters);
      expect(quorumsMeet(current.voters, next)).toBe(true);
    }
    expect(changed).toBeGreaterThan(500);
  });

  test("joint then leave equals carrying the change out at once", () => {
    const outcome = changeMembership(membershipOf("abc", "", "d"), {
      addVoters: [nodeId("d"), nodeId("e")],
      addLearners: [nodeId("a")],
      remove: [nodeId("b")],
    });
    if (outcome.type !== "changed") throw new Error(outcome.reason);
    const left = changeMembership(outcome.membership, { addVoters: [], addLearners: [], remove: [] });
    expect(left).toEqual({ type: "changed", membership: membershipOf("cde", "", "a") });
  });
});

function isQuorum(set: ReadonlySet<NodeId>, half: readonly NodeId[]): boolean {
  return half.length === 0 || half.filter((id) => set.has(id)).length >= majority(half.length);
}

/** Does every majority of `voters` share a node with every quorum of `next`? Brute force over subsets. */
function quorumsMeet(voters: readonly NodeId[], next: Membership): boolean {
  const everybody = [...new Set([...voters, ...votersOf(next)])];
  for (let bits = 0; bits < 1 << everybody.length; bits++) {
    const one = new Set(everybody.filter((_, i) => (bits >> i) % 2 === 1));
    const rest = new Set(everybody.filter((id) => !one.has(id)));
    if (isQuorum(one, voters) && isQuorum(rest, next.voters) && isQuorum(rest, next.outgoing)) return false;
  }
  return true;
}
