import { describe, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

describe("a group elects, replicates and commits", () => {
  test("three nodes elect one leader by timeout and all learn who it is", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    expect(c.run(3000, () => c.leader !== null)).toBe(true);
    c.settle();
    const leader = c.leader?.id;
    expect(c.running.map((node) => node.group.leader)).toEqual([leader, leader, leader]);
  });

  test("a single voter elects itself at the first tick, once its own vote and entry are durable", () => {
    const c = new Cluster({ voters: ["a"] });
    c.tick(1);
    expect(c.group("a").role).toBe("candidate");
    c.settle();
    expect(c.group("a").role).toBe("leader");
    expect(c.group("a").commitIndex).toBe(1);
    c.propose("a", "x");
    expect(c.group("a").commitIndex).toBe(1);
    c.settle();
    expect(c.values("a")).toEqual(["x"]);
  });

  test("a proposal is applied everywhere without time passing", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    c.campaign("a");
    c.settle();
    c.propose("a", "x", "y");
    c.settle();
    for (const id of ["a", "b", "c"]) expect(c.values(id)).toEqual(["x", "y"]);
  });

  test("committed entries survive the restart of all", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    c.campaign("a");
    c.settle();
    c.propose("a", "x");
    c.settle();
    for (const id of ["a", "b", "c"]) c.crash(id);
    for (const id of ["a", "b", "c"]) c.restart(id);
    expect(c.run(5000, () => c.leader !== null)).toBe(true);
    c.settle();
    c.propose(c.leader?.id ?? "", "y");
    c.settle();
    for (const id of ["a", "b", "c"]) expect(c.values(id)).toEqual(["x", "y"]);
  });

  test("reads are answered at the leader and at followers, with the index that was committed when they were asked", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    c.campaign("a");
    c.settle();
    c.propose("a", "x");
    c.settle();
    c.read("a", 1);
    c.read("b", 2);
    c.settle();
    expect(c.node("a").reads).toEqual([{ context: 1, index: 2 }]);
    expect(c.node("b").reads).toEqual([{ context: 2, index: 2 }]);
  });

  test("a lagging node is caught up by a snapshot in chunks", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    c.campaign("a");
    c.settle();
    c.isolate("c");
    for (let i = 0; i < 50; i++) c.propose("a", `value ${i}`);
    c.settle();
    c.compact("a");
    c.heal();
    expect(c.run(2000, () => c.group("c").commitIndex === c.group("a").commitIndex)).toBe(true);
    expect(c.node("c").snapshotsInstalled).toBe(1);
    expect(c.values("c")).toEqual(c.values("a"));
  });
});
