import { describe, expect, test } from "vitest";
import { nodeId, Prng, type NodeId } from "@trivet/core";
import { committedIndex, jointVote, majority } from "../../src/raft/quorum.ts";
import { quorumCommitted, quorumVote } from "./quorum-oracle.ts";

const ids = (text: string): NodeId[] => text.split("").map(nodeId);
const indexes = (text: string, ...values: number[]): ((id: NodeId) => number) => {
  const at = new Map(ids(text).map((id, i) => [id, values[i] ?? 0]));
  return (id) => at.get(id) ?? 0;
};

describe("quorums", () => {
  test.each([
    ["a", "", [7], 7],
    ["ab", "", [7, 5], 5],
    ["abc", "", [7, 5, 9], 7],
    ["abc", "", [7, 0, 0], 0],
    ["abcd", "", [7, 6, 5, 4], 5],
    ["abcde", "", [1, 2, 3, 4, 5], 3],
    ["ab", "cd", [9, 9, 1, 9], 1],
    ["abc", "bcd", [0, 5, 9, 9], 5],
    ["", "", [], 0],
  ])("%s and %s: what is committed", (voters, outgoing, values, expected) => {
    const all = [...new Set(voters + outgoing)].join("");
    expect(committedIndex({ voters: ids(voters), outgoing: ids(outgoing) }, indexes(all, ...values))).toBe(expected);
  });

  test("a majority is more than half", () => expect([1, 2, 3, 4, 5].map(majority)).toEqual([1, 2, 2, 3, 3]));

  test("random configurations agree with the oracle, votes and indexes", () => {
    const prng = new Prng(5);
    for (let i = 0; i < 3000; i++) {
      const some = (): NodeId[] => ids("abcdefg").filter(() => prng.chance(0.5));
      const config = { voters: some(), outgoing: prng.chance(0.5) ? [] : some() };
      const match = indexes("abcdefg", ...Array.from({ length: 7 }, () => prng.below(6)));
      expect(committedIndex(config, match)).toBe(quorumCommitted(config, match));
      const votes = new Map(ids("abcdefg").map((id) => [id, prng.pick([true, false, null])]));
      const voteOf = (id: NodeId): boolean | null => votes.get(id) ?? null;
      expect(jointVote(config, voteOf)).toBe(quorumVote(config, voteOf));
    }
  });
});
