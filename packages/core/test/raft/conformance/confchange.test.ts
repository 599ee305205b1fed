import { describe, expect, test } from "vitest";
import {
  emptyMembership,
  enterJoint,
  changeAtOnce,
  isLearner,
  leaveJoint,
  membersOf,
  nodeId,
  targetOf,
  type ChangeOutcome,
  type Membership,
  type MembershipChange,
} from "@trivet/core";
import { argumentsOf, conformanceDataPresent, directivesOf, filesOf, type Directive } from "./data.ts";

/*
 * Deviations from etcd, all outside these functions:
 * - `u` (update) does not exist here and is skipped; so is node 0, which etcd ignores (ids are names here).
 * - etcd carries `simple` and `joint` out when the entry is applied; Trivet puts a configuration in force when its entry is appended. The
 *   tables are about what follows from what, which is the same.
 * - `match` and `next` of the progress lines belong to replication here; the set of peers and who of them is a learner are compared.
 */
const errors: Record<string, string> = {
  "removed all voters": "the change would leave no voter",
  "more than one voter changed without entering joint config": "more than one voter changes without a joint phase",
  "can't apply simple config change in joint config": "in a joint phase only leaving it is possible",
  "config is already joint": "the configuration is joint already",
  "can't make a zero-voter config joint": "there is no voter to go from",
  "can't leave a non-joint config": "there is no joint phase to leave",
};

const lists: Record<string, keyof MembershipChange> = { v: "addVoters", l: "addLearners", r: "remove" };

function carryOut(current: Membership, directive: Directive): ChangeOutcome {
  const { words, named } = argumentsOf(directive.command);
  if (words[0] === "leave-joint") return leaveJoint(current);
  let target = current;
  for (const operation of directive.input.join(" ").split(/\s+/)) {
    const [kind, id] = [operation.slice(0, 1), nodeId(operation.slice(1))];
    if (id === "" || id === "0" || kind === "u") continue;
    const list = lists[kind];
    if (list === undefined) throw new Error(`unknown operation ${operation}`);
    target = targetOf(target, { addVoters: [], addLearners: [], remove: [], [list]: [id] });
  }
  if (words[0] === "simple") return changeAtOnce(current, target);
  return enterJoint(current, target, named.get("autoleave")?.[0] === "true");
}

const list = (ids: readonly string[]): string => `(${ids.toSorted((a, b) => Number(a) - Number(b)).join(" ")})`;

function describeMembership(membership: Membership): string[] {
  let config = `voters=${list(membership.voters)}`;
  if (membership.outgoing.length > 0) config += `&&${list(membership.outgoing)}`;
  if (membership.learners.length > 0) config += ` learners=${list(membership.learners)}`;
  if (membership.learnersNext.length > 0) config += ` learners_next=${list(membership.learnersNext)}`;
  if (membership.autoLeave) config += " autoleave";
  const peers = membersOf(membership).toSorted((a, b) => Number(a) - Number(b));
  return [config, ...peers.map((id) => `${id}${isLearner(membership, id) ? " learner" : ""}`)];
}

const withoutProgress = (line: string): string => line.replace(/: State\w+ match=\d+ next=\d+/, "");

describe.skipIf(!conformanceDataPresent)("etcd's membership tables", () => {
  let steps = 0;
  for (const file of filesOf("confchange")) {
    test(file, () => {
      let current = emptyMembership;
      for (const directive of directivesOf("confchange", file)) {
        steps++;
        const where = `${file}:${directive.line}`;
        const result = carryOut(current, directive);
        if (result.type === "refused") {
          expect(result.reason, where).toBe(errors[directive.expected[0] ?? ""]);
          continue;
        }
        expect(describeMembership(result.membership), where).toEqual(directive.expected.map(withoutProgress));
        current = result.membership;
      }
    });
  }
  test("there were 58 steps", () => expect(steps).toBe(58));
});
