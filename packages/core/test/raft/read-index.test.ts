import { describe, expect, test } from "vitest";
import { logIndex } from "@trivet/core";
import { elect, message, under } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };

describe("linearizable reads", () => {
  guard("raft-25-read-before-own-term-commit", "wait until the leader has committed an entry of its own term", () => {
    const c = new Cluster(three);
    c.cut = (m) => m.type === "append";
    elect(c, "a");
    c.read("a", 1);
    c.run(200);
    expect(c.node("a").reads).toEqual([]);
    c.heal();
    c.run(200);
    expect(c.node("a").reads).toEqual([{ context: 1, index: 1 }]);
  });

  guard("raft-26-leadership-checked-before-read", "need a quorum's answer to a round that began after them", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.run(200);
    c.isolate("a");
    c.read("a", 1);
    c.settle();
    expect(c.node("a").reads).toEqual([]);
    // A late reply to a round from before the read proves nothing.
    c.deliver(message("heartbeat-reply", "b", "a", 1, { round: 1, recovering: false }));
    expect(c.node("a").reads).toEqual([]);
    c.run(1300, () => c.group("a").role !== "leader");
    expect(c.node("a").reads).toEqual([{ context: 1, index: 0 }]);
  });

  test("share a round when they arrive together", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.network = [];
    for (let i = 1; i <= 100; i++) c.node("a").group.step({ type: "read", context: i });
    c.take(c.node("a"));
    expect(under(c, "heartbeat")).toHaveLength(2);
    c.settle();
    expect(c.node("a").reads).toHaveLength(100);
  });

  test("have at most a few rounds on their way; later ones wait and share the next", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.network = [];
    for (let i = 1; i <= 50; i++) c.read("a", i);
    expect(under(c, "heartbeat", { to: "b" })).toHaveLength(8);
    c.settle();
    expect(c.node("a").reads.map((read) => read.context)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  });

  test("at a follower cost one question per turn, and the reply brings the commit index along", () => {
    const c = new Cluster(three);
    elect(c, "a");
    // The news of the commit is lost; only the answer to the read tells b.
    c.cut = (m) => m.to === "b" && m.type === "heartbeat" && m.round === 0;
    c.propose("a", "x");
    c.settle();
    expect(c.group("b").commitIndex).toBe(1);
    c.network = [];
    for (let i = 1; i <= 10; i++) c.node("b").group.step({ type: "read", context: i });
    c.take(c.node("b"));
    expect(under(c, "read")).toHaveLength(1);
    c.cut = (m) => m.to === "b" && m.type === "heartbeat";
    c.settle();
    expect(c.node("b").reads).toHaveLength(10);
    expect(c.node("b").reads[0]).toEqual({ context: 1, index: 2 });
    expect(c.group("b").commitIndex).toBe(2);
    expect(c.values("b")).toEqual(["x"]);
  });

  test("are refused where no leader is known, by whoever does not lead, and after silence", () => {
    const c = new Cluster(three);
    c.read("b", 1);
    expect(c.node("b").reads).toEqual([{ context: 1, index: 0 }]);
    elect(c, "a");
    c.deliver(message("read", "b", "c", 1, { context: 5, recovering: false, newcomer: false }));
    expect(under(c, "read-reply", { from: "c" })).toMatchObject([{ context: 5, refused: true }]);
    c.cut = (m) => m.type === "read";
    c.read("b", 2);
    c.run(310);
    expect(c.node("b").reads.at(-1)).toEqual({ context: 2, index: 0 });
  });

  test("are refused when leadership ends, those of followers too", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("b", 1);
    c.deliverOne((m) => m.type === "read");
    c.read("a", 2);
    c.network = [];
    c.deliver(message("heartbeat", "c", "a", 2, { commit: c.group("a").commitIndex, match: logIndex(0), round: 1 }));
    expect(c.node("a").reads).toEqual([{ context: 2, index: 0 }]);
    expect(under(c, "read-reply", { to: "b" })).toMatchObject([{ refused: true }]);
  });

  test("that were sent to an earlier leader are refused when another one appears", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("b", 1);
    c.network = [];
    c.deliver(message("heartbeat", "c", "b", 2, { commit: c.group("b").commitIndex, match: logIndex(0), round: 1 }));
    expect(c.node("b").reads).toEqual([{ context: 1, index: 0 }]);
  });

  test("of a restarted follower are not answered by replies to questions from before", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("b", 1);
    c.deliverOne((m) => m.type === "read");
    const stale = c.network.filter((m) => m.type === "heartbeat");
    for (const m of stale) c.deliver(m);
    c.settle(["a"]);
    const [reply] = under(c, "read-reply");
    expect(reply).toBeDefined();
    c.network = [];
    c.crash("b");
    c.restart("b");
    c.run(200, () => c.group("b").leader === "a");
    c.propose("a", "x");
    c.settle();
    c.cut = (m) => m.type === "read";
    c.read("b", 2);
    if (reply !== undefined) c.deliver(reply);
    expect(c.node("b").reads).toEqual([]);
  });

  test("of a single voter are answered without any message", () => {
    const c = new Cluster({ voters: ["a"] });
    elect(c, "a");
    c.read("a", 1);
    expect(c.node("a").reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("from before a pause need a round that begins after it (rule L2)", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("a", 1);
    // Both answers are written, but the process does not run for a while before it reads them.
    c.settle(["b", "c"]);
    const answers = under(c, "heartbeat-reply");
    expect(answers).toHaveLength(2);
    c.network = [];
    c.cut = (m) => m.from === "a";
    c.tick(5000, ["a"]);
    for (const m of answers) c.deliver(m);
    expect(c.node("a").reads).toEqual([]);
    c.heal();
    c.run(100);
    expect(c.node("a").reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("tell when leadership was last confirmed: the time the round began, not the time it was answered", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("a", 1);
    const began = c.now;
    c.tick(20);
    c.settle();
    expect(c.group("a").leaderConfirmedAt).toBe(began);
  });

  test("beyond the bound are refused, not kept", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("a");
    const { group } = c.node("a");
    for (let i = 1; i <= 65_600; i++) group.step({ type: "read", context: i });
    c.take(c.node("a"));
    expect(c.node("a").reads).toHaveLength(64);
  });
});
