import { describe, expect, test } from "vitest";
import { nodeId, type NodeId } from "@trivet/core";
import { committedIndex, jointVote, majorityValue, type QuorumConfig } from "../../../src/raft/quorum.ts";
import { quorumCommitted, quorumVote } from "../quorum-oracle.ts";
import { argumentsOf, conformanceDataPresent, directivesOf, filesOf, type Directive } from "./data.ts";

const outcome = { won: "VoteWon", pending: "VotePending", lost: "VoteLost" } as const;

interface Case {
  readonly config: QuorumConfig;
  readonly values: ReadonlyMap<NodeId, string>;
}

/** Values bind to ids in the order written, `cfg` then `cfgj`; an id that appears twice takes one value. */
function caseOf(directive: Directive, list: "votes" | "idx"): Case {
  const { named } = argumentsOf(directive.command);
  const halves = ["cfg", "cfgj"].map((key) => (named.get(key) ?? []).filter((id) => id !== "zero").map(nodeId));
  const values = new Map<NodeId, string>();
  const given = [...(named.get(list) ?? [])];
  for (const id of halves.flat()) if (!values.has(id)) values.set(id, given.shift() ?? "_");
  return { config: { voters: halves[0] ?? [], outgoing: halves[1] ?? [] }, values };
}

describe.skipIf(!conformanceDataPresent)("etcd's quorum tables", () => {
  const directives = filesOf("quorum").flatMap((file) => directivesOf("quorum", file));

  test("there are 127 cases", () => expect(directives).toHaveLength(127));

  for (const directive of directives) {
    test(`${directive.file}:${directive.line} ${directive.command}`, () => {
      if (directive.command.startsWith("vote")) {
        const { config, values } = caseOf(directive, "votes");
        const voteOf = (id: NodeId): boolean | null => (values.get(id) === "_" ? null : values.get(id) === "y");
        const result = jointVote(config, voteOf);
        expect(outcome[result]).toBe(directive.expected.at(-1));
        expect(jointVote({ voters: config.outgoing, outgoing: config.voters }, voteOf)).toBe(result);
        expect(quorumVote(config, voteOf)).toBe(result);
        return;
      }
      const { config, values } = caseOf(directive, "idx");
      const matchOf = (id: NodeId): number => (values.get(id) === "_" ? 0 : Number(values.get(id)));
      const index = Math.min(majorityValue(config.voters, matchOf), majorityValue(config.outgoing, matchOf));
      expect(index === Infinity ? "∞" : String(index)).toBe(directive.expected.at(-1)?.replace("<empty majority quorum>", ""));
      // Properties of etcd's own harness: halves may be swapped, joining with oneself changes nothing, acks already passed may fall.
      const swapped = { voters: config.outgoing, outgoing: config.voters };
      const finite = index === Infinity ? 0 : index;
      expect(committedIndex(config, matchOf)).toBe(finite);
      expect(committedIndex(swapped, matchOf)).toBe(finite);
      if (config.outgoing.length === 0) expect(committedIndex({ ...config, outgoing: config.voters }, matchOf)).toBe(finite);
      const lowered = (id: NodeId): number => (matchOf(id) < finite ? 0 : Math.min(matchOf(id), finite));
      expect(committedIndex(config, lowered)).toBe(finite);
      expect(quorumCommitted(config, matchOf)).toBe(finite);
    });
  }
});
