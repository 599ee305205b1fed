import { describe, expect, test } from "vitest";
import { logIndex, nodeId, term } from "@trivet/core";
import { accepted, entry, hardState, logOf } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { LogView } from "../../src/raft/log-view.ts";

const matches = (c: Cluster, leader: string): readonly (readonly [peer: string, match: number])[] =>
  c
    .group(leader)
    .progress()
    .filter((p) => p.peer !== nodeId(leader))
    .map((p) => [p.peer, p.match] as const);

/** Weak origins let a new leader take its own length for what followers have, and credit one follower with another's answer (W-04). */
describe("a new leader", () => {
  test("believes of nobody that they have anything, and credits each with its own acknowledgements alone", () => {
    const c = new Cluster({ voters: ["a", "b", "c", "d", "e"] });
    c.createFrom("a", { hardState: hardState(1), entries: logOf(1, 1, 1) });
    c.cut = (message) => message.type === "append-reply" || message.type === "heartbeat-reply";
    c.campaign("a");
    c.settle();
    expect(c.group("a").role).toBe("leader");
    expect(matches(c, "a")).toEqual(["b", "c", "d", "e"].map((peer) => [peer, 0]));
    c.deliver(accepted("c", "a", c.group("a").term, 4));
    expect(matches(c, "a")).toEqual([
      ["b", 0],
      ["c", 4],
      ["d", 0],
      ["e", 0],
    ]);
    // Two of five have it: nothing is committed, however often one of them says so.
    for (let again = 0; again < 5; again++) c.deliver(accepted("c", "a", c.group("a").term, 4));
    expect(c.group("a").commitIndex).toBe(0);
    c.deliver(accepted("e", "a", c.group("a").term, 4));
    expect(c.group("a").commitIndex).toBe(4);
  });
});

/** Weak origins jumped over a missing committed entry (W-07): here a log has no gaps, and whoever meets one stops. */
describe("a log with a hole", () => {
  test("cannot be made: an entry that does not follow the last one is a bug, not a repair", () => {
    const log = new LogView(logIndex(0), term(0));
    log.append(entry(1, 1));
    expect(() => log.append(entry(3, 1))).toThrow("raft-log-contiguous");
    expect(log.lastIndex).toBe(1);
  });

  test("is not restored from a disk", () => {
    const c = new Cluster({ voters: ["a", "b", "c"] });
    expect(() => c.createFrom("a", { hardState: hardState(1), entries: [entry(1, 1), entry(3, 1)] })).toThrow("raft-log-contiguous");
  });
});
