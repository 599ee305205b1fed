import { describe, expect, test } from "vitest";
import { nodeId, type RaftMessage } from "@trivet/core";
import { elect } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const five = { voters: ["a", "b", "c", "d", "e"] };
const others = ["b", "c", "e"];
const isVote = (m: RaftMessage, to: string, from: string): boolean => m.type === "vote" && !m.pre && m.to === to && m.from === from;

/** The new disk is empty, and knows that it has none of the group's past. */
function replaceDisk(c: Cluster, id: string): void {
  c.wipe(id);
  Object.assign(c.node(id).disk, { newcomer: true });
  c.restart(id);
  c.checker.replaced(nodeId(id));
}

/** `who` alone goes on in time, long enough to have heard no leader for an election timeout; nobody stands by himself. */
function forget(c: Cluster, who: readonly string[]): void {
  const cut = c.cut;
  c.cut = () => true;
  c.tick(299, who);
  c.tick(2, who);
  c.cut = cut;
}

/** Everything there is of `kind` on its way is delivered. */
function deliver(c: Cluster, kind: (m: RaftMessage) => boolean): void {
  for (let left = 100; left > 0; left -= 1) {
    const at = c.network.findIndex(kind);
    if (at < 0) return;
    const [message] = c.network.splice(at, 1);
    if (message !== undefined) c.deliver(message);
    for (const { id } of c.running) c.flush(id);
  }
}

/**
 * The history that having caught up does not survive: d stands in term 2 and gets the vote of c, which is on its way when d is paused. c loses
 * its disk and follows a, the leader of term 1, which never heard of term 2.
 */
function forgottenVote(): { readonly c: Cluster; readonly late: readonly RaftMessage[] } {
  const c = new Cluster(five);
  elect(c, "a");
  c.propose("a", "v");
  c.settle();
  forget(c, ["b", "c", "d", "e"]);
  c.campaign("d");
  deliver(c, (m) => (m.type === "vote" || m.type === "vote-reply") && m.pre && m.to !== "a");
  expect(c.group("d")).toMatchObject({ role: "candidate", term: 2 });
  c.flush("d");
  const request = c.network.find((m) => isVote(m, "c", "d"));
  if (request === undefined) throw new Error("no request for a vote");
  c.deliver(request);
  c.flush("c");
  const late = c.network.filter((m) => isVote(m, "a", "d") || (m.type === "vote-reply" && !m.pre && m.to === "d"));
  expect(late).toHaveLength(2);
  c.network = [];
  replaceDisk(c, "c");
  c.cut = (m) => m.to === "d" || m.from === "d";
  return { c, late };
}

/** Time for all but d, which is paused. */
function run(c: Cluster, ms: number): void {
  for (let passed = 0; passed < ms; passed += 10) {
    c.tick(10, ["a", "b", "c", "e"]);
    c.settle();
  }
}

/** e stands in term 2 against the silent a; then what was late arrives, and d goes on. Who leads in term 2. */
function twoStand(c: Cluster, late: readonly RaftMessage[]): readonly string[] {
  c.cut = (m) => ["a", "d"].includes(m.to) || ["a", "d"].includes(m.from);
  // It hears nobody, and is no leader any more.
  for (let passed = 0; passed < 1_500; passed += 10) c.tick(10, ["a"]);
  forget(c, others);
  c.campaign("e");
  c.settle(others);
  c.cut = (m) => m.to !== "d" && m.from !== "d";
  for (const message of late) c.deliver(message);
  c.settle();
  return ["a", "b", "c", "d", "e"].filter((id) => c.group(id).role === "leader" && c.group(id).term === 2);
}

describe("a voter whose disk was replaced (G5)", () => {
  guard("raft-g5-newcomer-counted", "does not vote again in a term in which its old disk has voted", () => {
    const { c, late } = forgottenVote();
    run(c, 2_000);
    expect(c.group("a").role).toBe("leader");
    expect(twoStand(c, late)).toEqual(["d"]);
  });

  test("takes part once it was removed and added again, and its forgotten vote elects nobody any more", () => {
    const { c, late } = forgottenVote();
    run(c, 1_000);
    expect(c.group("c").mayVote).toBe(false);
    const progress = c.group("a").progress();
    expect(progress.find(({ peer }) => peer === "c")).toMatchObject({ newcomer: true, recovering: true });
    c.change("a", { remove: ["c"] });
    run(c, 100);
    c.change("a", { addLearners: ["c"] });
    run(c, 2_000);
    expect(c.group("c").mayVote).toBe(true);
    c.change("a", { addVoters: ["c"] });
    run(c, 100);
    expect(c.group("c").membership.voters).toContain("c");
    expect(twoStand(c, late)).toEqual(["e"]);
  });

  test("lets nothing be committed before: what it acknowledges counts for nothing", () => {
    const { c } = forgottenVote();
    run(c, 2_000);
    c.cut = (m) => ["b", "d", "e"].includes(m.to) || ["b", "d", "e"].includes(m.from);
    const before = c.group("a").commitIndex;
    c.propose("a", "w");
    c.settle();
    expect(c.group("c").lastIndex).toBe(c.group("a").lastIndex);
    expect(c.group("a").commitIndex).toBe(before);
  });
});
