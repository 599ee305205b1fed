import { describe, expect, test } from "vitest";
import { elect, message, under } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };

describe("leadership transfer", () => {
  test("hands over at once, without an election timeout", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.transfer("a", "b");
    c.settle();
    expect(c.group("b").role).toBe("leader");
    expect(c.node("a").noticesOf("transfer-ended")).toEqual([{ type: "transfer-ended", to: "b", succeeded: true }]);
    expect(c.group("a").transferring).toBeNull();
  });

  test("waits until the target has everything, and takes no proposals meanwhile", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.cut = (m) => m.to === "b";
    c.propose("a", "x");
    c.settle();
    c.heal();
    c.transfer("a", "b");
    expect(c.group("a").canPropose()).toBe("transferring");
    expect(under(c, "timeout-now")).toEqual([]);
    c.propose("a", "lost");
    expect(c.group("a").lastIndex).toBe(2);
    c.run(200, () => c.group("b").role === "leader");
    expect(c.group("b").role).toBe("leader");
    c.settle();
    expect(c.values("b")).toEqual(["x"]);
  });

  test("is given up after an election timeout, and the leader accepts again", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("b");
    c.transfer("a", "b");
    c.run(500);
    expect(c.group("a").canPropose()).toBe("transferring");
    c.run(150);
    expect(c.group("a").canPropose()).toBeNull();
    expect(c.node("a").noticesOf("transfer-ended")).toEqual([{ type: "transfer-ended", to: "b", succeeded: false }]);
    c.propose("a", "x");
    c.settle();
    expect(c.values("c")).toEqual(["x"]);
  });

  test("to another target ends the one before", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.cut = () => true;
    c.transfer("a", "b");
    c.transfer("a", "b");
    c.transfer("a", "c");
    expect(c.node("a").noticesOf("transfer-ended")).toEqual([{ type: "transfer-ended", to: "b", succeeded: false }]);
    expect(c.group("a").transferring).toBe("c");
  });

  test("to learners, strangers or by followers fails at once", () => {
    const c = new Cluster({ voters: ["a", "b"], learners: ["l"] });
    elect(c, "a");
    c.transfer("a", "l");
    c.transfer("a", "nobody");
    c.transfer("b", "a");
    expect(
      [...c.node("a").noticesOf("transfer-ended"), ...c.node("b").noticesOf("transfer-ended")].map((n) => [n.to, n.succeeded]),
    ).toEqual([
      ["l", false],
      ["nobody", false],
      ["a", false],
    ]);
    expect(c.group("a").canPropose()).toBeNull();
  });

  test("overrides the loyalty of those who hear the old leader", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.cut = (m) => m.from === "b" && m.to === "a";
    c.transfer("a", "b");
    c.settle();
    // Elected by its own vote and c's, who heard a a moment ago.
    expect(c.group("b").role).toBe("leader");
  });

  guard("raft-27-late-timeout-now", "a request from an earlier term is not obeyed", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.transfer("a", "b");
    const [late] = under(c, "timeout-now");
    c.settle();
    c.transfer("b", "a");
    c.settle();
    expect(c.group("a").role).toBe("leader");
    const { term } = c.group("a");
    if (late === undefined) throw new Error("no request was sent");
    c.deliver(late);
    c.settle();
    expect(c.group("b").role).toBe("follower");
    expect(c.group("a").term).toBe(term);
  });

  test("reads under way are answered or refused, never answered wrongly", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.read("a", 1);
    c.transfer("a", "b");
    c.settle();
    expect(c.node("a").reads).toHaveLength(1);
    expect(c.node("a").reads[0]?.index).toBeLessThanOrEqual(c.group("b").commitIndex);
    expect(c.group("b").role).toBe("leader");
  });

  test("a node that may not campaign ignores the request", () => {
    const c = new Cluster({ voters: ["a", "b"], learners: ["l"] });
    elect(c, "a");
    c.deliver(message("timeout-now", "a", "l", 1, {}));
    expect(c.group("l").role).toBe("follower");
  });
});
