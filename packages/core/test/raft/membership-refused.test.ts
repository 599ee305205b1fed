import { describe, expect, test } from "vitest";
import { elect } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { guard } from "./guard.ts";

const refusals = (c: Cluster, id: string): string[] =>
  c
    .node(id)
    .noticesOf("membership-refused")
    .map(({ reason }) => reason);

/** Three voters that `a` leads, and somebody to take in. */
function led(): Cluster {
  const c = new Cluster({ voters: ["a", "b", "c"], spare: ["d"] });
  elect(c, "a");
  c.settle();
  return c;
}

describe("a change of membership (G4)", () => {
  test("is refused at a follower", () => {
    const c = led();
    c.change("b", { addLearners: ["d"] });
    expect(refusals(c, "b")).toEqual(["this node is not the leader"]);
  });

  guard("raft-change-of-another-configuration", "is refused when another configuration is in force than expected", () => {
    const c = led();
    // The founding configuration is the leader's first entry.
    c.change("a", { addLearners: ["d"] }, 1);
    c.settle();
    expect(c.group("a").membershipIndex).toBe(2);
    c.change("a", { remove: ["d"] }, 1);
    expect(refusals(c, "a")).toEqual(["the configuration is at index 2, not at 1 as expected"]);
    expect(c.group("a").membershipIndex).toBe(2);
  });

  guard("raft-change-during-transfer", "is refused while leadership is handed over", () => {
    const c = led();
    c.cut = () => true;
    c.transfer("a", "b");
    c.change("a", { addLearners: ["d"] });
    expect(refusals(c, "a")).toEqual(["leadership is being transferred to b"]);
  });

  guard("raft-change-upon-change", "is refused while another one is not committed", () => {
    const c = led();
    c.cut = () => true;
    c.change("a", { addVoters: ["d"] });
    const { membershipIndex } = c.group("a");
    c.change("a", { remove: ["b"] });
    expect(refusals(c, "a")).toEqual([`the change at index ${membershipIndex} is not committed yet`]);
    expect(c.group("a").membership.voters).toEqual(["a", "b", "c", "d"]);
  });
});
