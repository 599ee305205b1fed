import { describe, expect, test } from "vitest";
import { elect, under, vote } from "./build.ts";
import { Cluster } from "./cluster.ts";

const three = ["a", "b", "c"];

/** Weak origins lost the first request of every round to their own timer (W-09), or raised the term twice and counted old votes (W-10). */
describe("an election", () => {
  test.each(three)("succeeds among the others while %s is down, whatever the timeouts", (down) => {
    for (let seed = 1; seed <= 20; seed++) {
      const c = new Cluster({ voters: three, seed });
      c.crash(down);
      // Two rounds that meet head-on may fail; a round that loses its own requests fails for ever.
      expect(
        c.run(3000, () => c.leader !== null),
        `seed ${seed}`,
      ).toBe(true);
      c.propose(c.leader?.id ?? "", "x");
      c.settle();
      for (const { id } of c.running) expect(c.values(id)).toEqual(["x"]);
    }
  });

  test("asks every other voter in every round, also after the timer has run out again", () => {
    const c = new Cluster({ voters: three });
    const { group } = c.node("a");
    for (let round = 0; round < 5; round++) {
      c.network = [];
      const before = c.node("a").sent.length;
      for (let waited = 0; waited < 600 && c.node("a").sent.length === before; waited += 5) c.tick(5, ["a"]);
      expect(group.role).toBe("pre-candidate");
      expect(under(c, "vote", { from: "a" }).map((m) => m.to)).toEqual(["b", "c"]);
    }
  });

  test("raises the term by one, once", () => {
    const c = new Cluster({ voters: three });
    elect(c, "a");
    expect(c.group("a").term).toBe(1);
    c.crash("a");
    expect(c.run(3000, () => c.leader !== null)).toBe(true);
    expect(c.leader?.group.term).toBe(2);
    const stood = c.running.flatMap((node) => node.sent).filter((m) => m.type === "vote" && !m.pre);
    expect(stood.length).toBeGreaterThan(0);
    expect(new Set(stood.map((m) => m.term))).toEqual(new Set([2]));
  });

  test("is not won by votes of an earlier term that come late, nor does a late vote touch a leader", () => {
    const c = new Cluster({ voters: ["a", "b", "c", "d", "e"] });
    c.campaign("a");
    for (const id of ["b", "c"]) c.deliver(vote(id, "a", 1, true, true));
    c.flush("a");
    expect(c.group("a").role).toBe("candidate");
    // The votes of term 1 are still on their way when it stands again.
    c.campaign("a");
    for (const id of ["b", "c"]) c.deliver(vote(id, "a", 2, true, true));
    c.flush("a");
    expect(c.group("a")).toMatchObject({ role: "candidate", term: 2 });
    for (const id of ["b", "c", "d", "e"]) c.deliver(vote(id, "a", 1));
    expect(c.group("a").role).toBe("candidate");
    for (const id of ["b", "c"]) c.deliver(vote(id, "a", 2));
    expect(c.group("a").role).toBe("leader");
    for (const id of ["b", "c", "d", "e"]) c.deliver(vote(id, "a", 1, false));
    expect(c.group("a")).toMatchObject({ role: "leader", term: 2 });
  });
});
