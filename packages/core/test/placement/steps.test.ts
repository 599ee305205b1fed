import { type Membership, nodeId, stepProblem } from "@trivet/core";
import { describe, expect, test } from "vitest";

const group = (...names: readonly string[]): Membership => ({
  voters: names.map(nodeId),
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
});

/** Leaves `before` for `after` by a leader that hears all, where those that come to `wanted` are still away. */
const emptied = (before: Membership, after: Membership, wanted: readonly string[]): string | null =>
  stepProblem({
    leader: nodeId("n1"),
    before,
    after,
    wanted,
    has: () => true,
    isHeard: () => true,
    isThere: () => true,
    isDraining: () => true,
    isLost: () => false,
  });

describe("a step of a shard that is emptied before others come", () => {
  test("leaves two of three copies", () => {
    expect(emptied(group("n1", "n2", "n3"), group("n1", "n2"), ["n1", "n4", "n5"])).toBe(null);
  });

  test("does not leave one", () => {
    expect(emptied(group("n1", "n2"), group("n1"), ["n1", "n4", "n5"])).toBe("n2 leaves, and only n1 are left of 3");
  });

  test("leaves one where no other is wanted", () => {
    expect(emptied(group("n1", "n2"), group("n1"), ["n1"])).toBe(null);
  });
});
