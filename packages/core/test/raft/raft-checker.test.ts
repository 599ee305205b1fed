import { describe, expect, test } from "vitest";
import { logIndex, logMismatch, nodeId, RaftChecker, raftInvariants, type RaftGroup, type Role } from "@trivet/core";
import { append, entry, hardState, logOf, vote } from "./build.ts";
import { Cluster } from "./cluster.ts";

const three = { voters: ["a", "b", "c"] };

/** What a checker looks at, with some of it falsified. */
function as(group: RaftGroup, lies: Partial<Record<keyof RaftGroup, unknown>>): RaftGroup {
  return new Proxy(group, { get: (target, key) => (key in lies ? lies[key as keyof RaftGroup] : bound(target, key)) });
}
function bound(target: RaftGroup, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key);
  return typeof value === "function" ? value.bind(target) : value;
}

const found = (checker: RaftChecker, ...groups: RaftGroup[]): string[] => checker.check(groups).map((violation) => violation.invariant);
const leader: Role = "leader";
const tooFar = { peer: nodeId("b"), match: logIndex(7) };

describe("the checker sees", () => {
  test("nothing wrong in a run where nothing is", () => {
    const c = new Cluster(three);
    c.campaign("a");
    c.settle();
    c.propose("a", "x");
    c.settle();
    expect(found(new RaftChecker(), ...c.running.map((node) => node.group))).toEqual([]);
    expect(logMismatch(c.group("a"), c.group("b"))).toBeNull();
  });

  test("a term or a commit index that falls", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(3), entries: logOf(1, 1), commit: logIndex(2) });
    const checker = new RaftChecker();
    const { group } = c.node("a");
    expect(found(checker, group)).toEqual([]);
    expect(found(checker, as(group, { term: 2, commitIndex: logIndex(1) }))).toEqual(["raft-term-monotone", "raft-commit-monotone"]);
  });

  test("a changed vote, in memory and in what was told to others", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(3, "b") });
    const checker = new RaftChecker();
    const { group } = c.node("a");
    found(checker, group);
    expect(found(checker, as(group, { vote: nodeId("c") }))).toEqual(["raft-one-vote-per-term"]);
    expect(checker.sent(vote("a", "b", 3))).toEqual([]);
    checker.restarted(nodeId("a"));
    expect(checker.sent(vote("a", "b", 3))).toEqual([]);
    expect(checker.sent(vote("a", "c", 3)).map((v) => v.invariant)).toEqual(["raft-one-vote-per-term"]);
  });

  test("two leaders of one term, by role and by what they send", () => {
    const c = new Cluster(three);
    const checker = new RaftChecker();
    const one = as(c.group("a"), { role: leader });
    const other = as(c.group("b"), { role: leader });
    expect(found(checker, one, other)).toEqual(["raft-one-leader-per-term"]);
    expect(checker.sent(append("c", "a", 0, [0, 0], [])).map((v) => v.invariant)).toEqual(["raft-one-leader-per-term"]);
  });

  test("different entries committed at one index, also when only the payload differs", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(2), entries: logOf(1, 1), commit: logIndex(2) });
    c.createFrom("b", { hardState: hardState(2), entries: logOf(1, 2), commit: logIndex(2) });
    c.createFrom("c", { hardState: hardState(2), entries: [entry(1, 1), entry(2, 1, "other")], commit: logIndex(2) });
    const checker = new RaftChecker();
    expect(found(checker, c.group("a"), c.group("b"))).toEqual(["raft-committed-agree"]);
    expect(found(new RaftChecker(), c.group("a"), c.group("c"))).toEqual(["raft-committed-agree"]);
    expect(logMismatch(c.group("a"), c.group("c"))).toContain("differ at 2");
    expect(checker.lastCommitted).toBe(2);
  });

  test("a leader without an entry that was committed in an earlier term", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1, 1), commit: logIndex(2) });
    c.createFrom("b", { hardState: hardState(2), entries: logOf(1) });
    expect(found(new RaftChecker(), c.group("a"), as(c.group("b"), { role: leader }))).toEqual(["raft-leader-completeness"]);
  });

  test("indexes beyond the log", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1) });
    const lies = { commitIndex: logIndex(5), durableIndex: logIndex(9), entries: () => [] };
    expect(found(new RaftChecker(), as(c.group("a"), lies))).toEqual(["raft-commit-within-log", "raft-durable-within-log"]);
    expect(found(new RaftChecker(), as(c.group("a"), { role: leader, progress: () => [tooFar] }))).toEqual(["raft-match-within-log"]);
  });

  test("and every name it uses is in the list", () => {
    expect(Object.keys(raftInvariants)).toHaveLength(11);
  });
});
