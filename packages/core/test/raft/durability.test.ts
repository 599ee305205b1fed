import { describe, expect, test } from "vitest";
import { append, elect, entry, logOf, under, voteRequest } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };

describe("two outboxes and one ordered stream of writes", () => {
  guard("raft-08-append-acked-before-fsync", "an append is acknowledged when it is durable", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [0, 0], logOf(1)));
    expect(under(c, "append-reply")).toEqual([]);
    c.flush("b");
    expect(under(c, "append-reply")).toMatchObject([{ rejected: false, index: 1 }]);
  });

  test("so is a repeated append whose entries are still being written", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [0, 0], logOf(1)));
    c.deliver(append("a", "b", 1, [0, 0], logOf(1)));
    expect(under(c, "append-reply")).toEqual([]);
    c.flush("b");
    expect(under(c, "append-reply")).toHaveLength(2);
  });

  guard("raft-09-entries-without-their-term", "entries are never on disk without the term they came in", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 4, [0, 0], logOf(4)));
    c.flush("b");
    c.crash("b");
    c.restart("b");
    expect(c.group("b").term).toBe(4);
  });

  guard("raft-10-stale-durable-credited", "a write that completes late is not credited to entries that replaced its own (ABA)", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [0, 0], [entry(1, 1), entry(2, 1)]));
    c.deliver(append("c", "b", 2, [0, 0], [entry(1, 2), entry(2, 2)]));
    expect(c.node("b").writes).toHaveLength(2);
    c.flushOne(c.node("b"));
    expect(c.group("b").durableIndex).toBe(0);
    c.flushOne(c.node("b"));
    expect(c.group("b").durableIndex).toBe(2);
  });

  test("the leader's entries leave in parallel with its own write", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    expect(c.node("a").writes).toHaveLength(1);
    expect(under(c, "append", { from: "a" })).toHaveLength(2);
  });

  test("everything of one turn is one write", () => {
    const c = new Cluster(three);
    const { group } = c.node("b");
    group.step({ type: "message", message: voteRequest("a", "b", 1, [0, 0]) });
    group.step({ type: "message", message: append("a", "b", 1, [0, 0], logOf(1)) });
    group.step({ type: "message", message: append("a", "b", 1, [1, 1], [entry(2, 1)]) });
    const effects = group.takeEffects();
    expect(effects).toMatchObject({ write: 1, hardState: { term: 1, vote: "a" } });
    expect(effects.append).toHaveLength(2);
    expect(effects.sendDurable.map((m) => m.type)).toEqual(["vote-reply", "append-reply", "append-reply"]);
    expect(group.hasEffects()).toBe(false);
  });

  test("writes complete in order: a later number covers the earlier ones, an unknown one is a bug", () => {
    const c = new Cluster(three);
    const { group } = c.node("b");
    for (let i = 1; i <= 3; i++) {
      group.step({ type: "message", message: append("a", "b", 1, [i - 1, i === 1 ? 0 : 1], [entry(i, 1)]) });
      group.takeEffects();
    }
    group.step({ type: "durable", write: 2 });
    expect(group.durableIndex).toBe(2);
    group.step({ type: "durable", write: 1 });
    expect(group.durableIndex).toBe(2);
    expect(() => group.step({ type: "durable", write: 9 })).toThrow("raft-durable-unknown-write");
  });

  test("a lost write is lost: the vote that was never told may be given anew", () => {
    const c = new Cluster(three);
    c.deliver(voteRequest("a", "b", 1, [0, 0]));
    c.crash("b");
    c.restart("b");
    c.deliver(voteRequest("c", "b", 1, [0, 0]));
    c.flush("b");
    expect(under(c, "vote-reply", { from: "b" })).toMatchObject([{ to: "c", granted: true }]);
  });
});
