import { describe, expect, test } from "vitest";
import { logIndex, term } from "@trivet/core";
import { configEntry, elect, entry, hardState, logOf, membershipOf, message, under, voteRequest } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };
const torn = { damaged: true, onlyTornTail: true };

/** `a` leads in term 1, all have ten values (index 11 is the last); then the power goes everywhere. */
function powerLoss(tails: Record<string, number>, options: ConstructorParameters<typeof Cluster>[0] = three): Cluster {
  const c = new Cluster(options);
  elect(c, "a");
  for (let i = 0; i < 10; i++) c.propose("a", `v${i}`);
  c.settle();
  c.run(200);
  c.network = [];
  for (const id of [...options.voters, ...(options.learners ?? [])]) {
    if (tails[id] === undefined) c.crash(id);
    else c.tearTail(id, tails[id]);
  }
  return c;
}

/** Nothing of these logs was ever committed; all have lost something. */
function tornLogs(lengths: Record<string, number>): Cluster {
  const c = new Cluster(three);
  for (const [id, length] of Object.entries(lengths)) {
    c.createFrom(id, { hardState: hardState(1), entries: logOf(...Array.from({ length }, () => 1)), ...torn });
  }
  return c;
}

function restartAll(c: Cluster): void {
  for (const id of c.nodes.keys()) c.restart(id);
}

const compared = (c: Cluster, id: string) => c.node(id).noticesOf("compared");

describe("logs whose ends are in doubt (W3)", () => {
  test("all of them at once: the members compare, elect the longest, and lose nothing that one of them kept", () => {
    const c = powerLoss({ a: 7, b: 11, c: 9 });
    restartAll(c);
    expect(c.run(10_000, () => c.leader !== null)).toBe(true);
    expect(c.leader?.id).toBe("b");
    c.propose("b", "new");
    expect(c.run(3000, () => c.running.every((node) => node.group.mayVote && c.values(node.id).length === 11))).toBe(true);
    expect(c.values("a")).toEqual([...Array.from({ length: 10 }, (_, i) => `v${i}`), "new"]);
    c.checkAgreement();
  });

  test("a majority: the member that kept its log is elected, however long the others' jitter lets them go first", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const c = powerLoss({ a: 5, b: 5 }, { ...three, seed });
      restartAll(c);
      expect(c.run(10_000, () => c.leader !== null)).toBe(true);
      expect(c.leader?.id).toBe("c");
      expect(c.run(3000, () => c.running.every((node) => node.group.mayVote))).toBe(true);
      c.checkAgreement();
    }
  });

  guard("raft-w3-compared-with-some", "waits for the answer of every member", () => {
    const c = powerLoss({ a: 5, b: 5 });
    c.restart("a");
    c.restart("b");
    // c, which is away, may be the only one that kept what was acknowledged.
    expect(c.run(5000, () => c.leader !== null)).toBe(false);
    expect(compared(c, "a")).toEqual([]);
    expect(c.node("a").noticesOf("comparison-failed")[0]).toEqual({ type: "comparison-failed", silent: ["c"], damaged: [] });
    // And nobody's term was raised meanwhile.
    expect(c.group("a").term).toBe(1);
    c.restart("c");
    expect(c.run(10_000, () => c.leader !== null)).toBe(true);
    expect(c.values("c").length).toBe(10);
  });

  guard("raft-w3-floor-ignored", "then votes only for a log that reaches the furthest end of all, and says so before and after", () => {
    const c = tornLogs({ a: 5, b: 8, c: 5 });
    // b answers, but is not elected: its requests for votes are lost.
    c.cut = (m) => m.type === "vote";
    c.run(10_000, () => c.running.every((node) => compared(c, node.id).length > 0));
    expect(compared(c, "a")[0]).toMatchObject({ lastIndex: 8, lastTerm: 1 });
    const later = c.group("a").term + 1;
    c.deliver(voteRequest("c", "a", later, [5, 1], true));
    c.deliver(voteRequest("c", "a", later, [7, 1], true));
    c.deliver(voteRequest("b", "a", later, [8, 1], true));
    c.flush("a");
    expect(under(c, "vote-reply", { from: "a" }).map((m) => m.granted)).toEqual([false, false, true]);
    expect(c.group("a").mayVote).toBe(false);
    expect(c.group("b").mayVote).toBe(true);
    c.heal();
    expect(c.run(10_000, () => c.running.every((node) => node.group.mayVote))).toBe(true);
  });

  guard("raft-w3-whole-before-floor", "does not stand itself with a log that does not reach it", () => {
    const c = tornLogs({ a: 5, b: 8, c: 5 });
    c.cut = (m) => m.type === "vote" && m.from === "b";
    c.run(5000, () => compared(c, "a").length > 0 && compared(c, "c").length > 0);
    c.campaign("a");
    c.campaign("c");
    c.settle();
    expect([c.group("a").role, c.group("c").role]).toEqual(["follower", "follower"]);
    expect(c.run(3000, () => c.leader !== null)).toBe(false);
  });

  test("a floor that nobody reaches any more is compared anew: its holder lost its end, too", () => {
    const c = tornLogs({ a: 5, b: 8, c: 5 });
    c.cut = (m) => m.type === "vote";
    c.run(10_000, () => compared(c, "a").length > 0 && compared(c, "c").length > 0);
    c.tearTail("b", 4);
    c.restart("b");
    c.heal();
    expect(c.run(20_000, () => c.leader !== null)).toBe(true);
    expect(compared(c, "a").at(-1)).toMatchObject({ lastIndex: 5 });
  });

  guard(
    "raft-w3-answer-without-term",
    "an answer ends all earlier terms at the member that gives it: no forgotten vote elects anyone",
    () => {
      const c = new Cluster(three);
      // c voted for b in term 2 and lost that vote with the end of its log. b still waits for it.
      c.createFrom("a", { hardState: hardState(2), entries: logOf(1) });
      c.createFrom("b", { hardState: hardState(1), entries: logOf(1) });
      c.createFrom("c", { hardState: hardState(1), entries: logOf(1), ...torn });
      c.deliver(message("compare", "c", "a", 3, { pre: false, context: 1 }));
      c.flush("a");
      expect(c.group("a").term).toBe(3);
      expect(under(c, "compare-reply", { from: "a" })).toMatchObject([{ term: 3, lastIndex: 1, lost: "nothing" }]);
      // An answer in a term that is not later says nothing.
      c.deliver(message("compare", "c", "a", 3, { pre: false, context: 2 }));
      c.flush("a");
      expect(under(c, "compare-reply", { from: "a" }).length).toBe(1);
      c.deliver(voteRequest("b", "a", 2, [1, 1]));
      c.flush("a");
      expect(under(c, "vote-reply", { from: "a" }).filter((m) => m.granted)).toEqual([]);
    },
  );

  guard("raft-w3-answer-before-durable", "an answer waits for the disk: what it says of term and log survives the member's restart", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1) });
    c.deliver(message("compare", "c", "a", 2, { pre: false, context: 1 }));
    expect(under(c, "compare-reply", { from: "a" }).length).toBe(0);
    c.flush("a");
    expect(under(c, "compare-reply", { from: "a" }).length).toBe(1);
    expect(c.node("a").disk.hardState.term).toBe(2);
  });

  test("whoever hears a leader does not answer: that leader catches the asker up", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.run(100);
    const before = c.group("b").term;
    c.deliver(message("compare", "c", "b", 9, { pre: false, context: 1 }));
    c.deliver(message("compare", "c", "a", 9, { pre: true, context: 1 }));
    c.flush("b");
    expect(under(c, "compare-reply")).toEqual([]);
    expect([c.group("b").term, c.group("a").role]).toEqual([before, "leader"]);
  });

  guard("raft-w3-damage-compared", "damage in the middle is not settled by comparing, neither for its node nor for others (W6)", () => {
    const c = powerLoss({ a: 5, b: 5, c: 5 });
    c.node("c").disk.onlyTornTail = false;
    restartAll(c);
    expect(c.run(5000, () => c.leader !== null)).toBe(false);
    expect(c.node("a").noticesOf("comparison-failed").at(-1)).toMatchObject({ damaged: ["c"] });
    expect(compared(c, "c")).toEqual([]);
  });

  guard("raft-w3-old-configuration", "asks the members of the newest configuration anybody knows, not only those of its own", () => {
    // a and b lost the end that made d a voter; c, which had that entry, knows; d kept an entry that b and d had made committed.
    const grown = membershipOf("abcd");
    const log = [...logOf(1, 1), configEntry(3, 1, grown)];
    const c = new Cluster({ ...three, spare: ["d"] });
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1, 1), ...torn });
    c.createFrom("b", { hardState: hardState(1), entries: logOf(1, 1), ...torn });
    c.createFrom("c", { hardState: hardState(1), entries: log });
    c.createFrom("d", { hardState: hardState(1), entries: [...log, entry(4, 1)] });
    c.cut = (m) => m.type === "vote" || m.to === "d" || m.from === "d";
    c.run(3000);
    expect(compared(c, "a")).toEqual([]);
    c.cut = (m) => m.type === "vote";
    expect(c.run(10_000, () => compared(c, "a").length > 0)).toBe(true);
    expect(compared(c, "a")[0]).toMatchObject({ lastIndex: 4, members: ["b", "c", "d"] });
    c.heal();
    expect(c.run(10_000, () => c.leader?.id === "d")).toBe(true);
  });

  test("does not wait for members of a configuration that is known to be replaced", () => {
    const c = new Cluster({ voters: ["a", "b", "c", "x"] });
    const log = [...logOf(1, 1), configEntry(3, 1, membershipOf("abc"))];
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1, 1), ...torn });
    c.createFrom("b", { hardState: hardState(1), entries: logOf(1, 1), ...torn });
    c.createFrom("c", { hardState: hardState(1), entries: log, commit: logIndex(3) });
    c.crash("x");
    expect(c.run(10_000, () => c.leader !== null)).toBe(true);
    expect(compared(c, "a")[0]?.members).toEqual(["b", "c"]);
  });

  test("a learner's log counts as well: it may have been made a voter in what was lost", () => {
    const c = powerLoss({ a: 5, b: 5, c: 5 }, { ...three, learners: ["l"] });
    for (const id of ["a", "b", "c"]) c.restart(id);
    expect(c.run(3000, () => c.leader !== null)).toBe(false);
    c.restart("l");
    c.cut = (m) => m.type === "vote";
    expect(c.run(10_000, () => compared(c, "a").length > 0)).toBe(true);
    expect(compared(c, "a")[0]).toMatchObject({ lastIndex: 11, members: ["b", "c", "l"] });
  });

  test("the only member has nobody to compare with, and a member that is no voter waits for a leader", () => {
    const one = new Cluster({ voters: ["a"] });
    one.createFrom("a", { hardState: hardState(1), entries: logOf(1), ...torn });
    expect(one.run(3000, () => one.leader !== null)).toBe(false);
    const c = powerLoss({ l: 5 }, { ...three, learners: ["l"] });
    c.restart("l");
    c.run(3000);
    expect(under(c, "compare")).toEqual([]);
    expect(c.node("l").sent.filter((m) => m.type === "compare")).toEqual([]);
  });

  test("a restart before its own log reaches the floor leaves it in doubt", () => {
    const c = tornLogs({ a: 5, b: 8, c: 5 });
    c.cut = (m) => m.type === "vote" || m.type === "append";
    c.run(10_000, () => compared(c, "a").length > 0);
    c.crash("a");
    expect(c.node("a").disk).toMatchObject({ damaged: true, onlyTornTail: true });
    c.restart("a");
    c.deliver(voteRequest("b", "a", c.group("a").term + 1, [99, 1], true));
    expect(under(c, "vote-reply", { from: "a" }).map((m) => m.granted)).toEqual([false]);
  });

  test("once compared, its acknowledgements count again: two that compared are a quorum", () => {
    const c = tornLogs({ a: 5, b: 8, c: 5 });
    c.run(10_000, () => c.leader !== null);
    const leader = c.leader?.id ?? "";
    expect(leader).toBe("b");
    c.propose("b", "x");
    expect(c.run(3000, () => c.values("b").includes("x"))).toBe(true);
    expect(c.group("b").term).toBeGreaterThan(term(1));
  });
});
