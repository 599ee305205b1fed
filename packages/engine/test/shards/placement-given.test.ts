import { groupId, nodeId } from "@trivet/core";
import { describe, expect } from "vitest";
import type { ShardGroup } from "../../src/shards/shard-group.ts";
import type { Member } from "../hosts/cluster.ts";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import type { Shards } from "./support.ts";
import { ask, asked, drain, isSettled, leading, mapOf, onSend, pick, replicaOf, settled, watch } from "./placement-support.ts";

/** The questions of this node whether shards still count it: asked and answered, but what was answered is not told yet. */
function heldAnswers({ host }: Member): { readonly group: number; readonly answer: unknown; readonly tell: () => void }[] {
  const held: { readonly group: number; readonly answer: unknown; readonly tell: () => void }[] = [];
  const call = host.calls.call.bind(host.calls);
  host.calls.call = (to, method, body, done, timeoutMs) => {
    if (method !== "shard-has") return call(to, method, body, done, timeoutMs);
    const { group } = body as { readonly group: number };
    call(to, method, body, (answer) => held.push({ group, answer, tell: () => done(answer) }), timeoutMs);
  };
  return held;
}

interface Leaving {
  readonly shards: Shards;
  readonly member: Member;
  /** The shard, and the replica of it that the node had. */
  readonly group: number;
  readonly replica: ShardGroup;
  /** Lets the node hear that its shard does not count it, as it was answered at first. */
  readonly tell: () => void;
}

/** A node that was emptied and does not know yet that the shard has let it go. */
function leaving(): Leaving {
  const shards = settled(4);
  const [node = ""] = pick(shards, 1);
  const member = shards.cluster.member(node);
  const replicas = [...(member.host.shards?.all() ?? [])];
  const held = heldAnswers(member);
  drain(shards, node);
  const first = (): (typeof held)[number] | undefined => held.find(({ answer }) => answer === false);
  shards.cluster.until("it was answered that it is not counted", () => first() !== undefined, 60_000);
  const { group = 0, tell = () => undefined } = first() ?? {};
  const replica = replicas.find(({ id }) => id === group);
  if (replica === undefined) throw new Error("no replica");
  return { shards, member, group, replica, tell };
}

/** The node may have shards again; true as soon as the map names it for this one. */
function wantedAgain({ group, member, shards }: Leaving): void {
  const { node } = member.config;
  ask(shards, { drain: { nodes: [node], draining: false } });
  watch(
    shards,
    "the map names it again",
    () => mapOf(shards)[group - 1]?.includes(node) === true,
    () => undefined,
  );
}

describe("the state of a shard is deleted on a node (G4)", () => {
  guard("shard-given-by-the-map", "only when the shard's leader says that it does not count it", () => {
    const shards = settled(3);
    const [dead = "", leaves = ""] = pick(shards, 2);
    shards.cluster.kill(dead);
    drain(shards, leaves);
    shards.cluster.run(30_000);
    // Without it there would be no quorum: it is still a voter, whatever the map says.
    expect(mapOf(shards).flat()).not.toContain(leaves);
    expect([...(shards.cluster.member(leaves).host.shards?.all() ?? [])].map(({ id }) => id).toSorted((a, b) => a - b)).toEqual([
      1, 2, 3, 4,
    ]);
  });

  guard("shard-given-although-wanted", "not when the map has come to want it there again before the answer came", () => {
    const begun = leaving();
    const { group, member, replica, shards, tell } = begun;
    wantedAgain(begun);
    watch(
      shards,
      "it knows of it",
      () => member.host.shards?.placement.wants(groupId(group), nodeId(member.config.node)) === true,
      () => undefined,
    );
    tell();
    expect(replicaOf(member, group)).toBe(replica);
  });

  guard("shard-given-by-a-late-answer", "not by an answer from before it was counted again", () => {
    const { group, member, replica, shards, tell } = leaving();
    const { node } = member.config;
    // Group 0 is slow to reach it: it does not know of the map that wants it again.
    onSend(shards, (_from, to, sent) => to !== node || sent.type !== "raft" || sent.group !== 0);
    ask(shards, { drain: { nodes: [node], draining: false } });
    const isVoter = (): boolean =>
      leading(shards).some(
        ({ group: { raft }, id }) =>
          id === group && raft.membership.voters.includes(nodeId(node)) && raft.membershipIndex <= raft.commitIndex,
      );
    shards.cluster.until("it is a voter again", isVoter, 60_000);
    expect(member.host.shards?.placement.wants(groupId(group), nodeId(node))).toBe(false);
    tell();
    expect(replicaOf(member, group)).toBe(replica);
  });

  guard("shard-given-another", "not when another replica has taken the place of the one that asked", () => {
    const begun = leaving();
    const { group, member, replica, shards, tell } = begun;
    const { node } = member.config;
    member.host.shards?.give(replica);
    wantedAgain(begun);
    shards.cluster.until("it is back", () => replicaOf(member, group) !== null && isSettled(shards), 60_000);
    const back = replicaOf(member, group);
    drain(shards, node);
    watch(
      shards,
      "the map does not name it",
      () => member.host.shards?.placement.wants(groupId(group), nodeId(node)) === false,
      () => undefined,
    );
    tell();
    expect(replicaOf(member, group)).toBe(back);
  });

  guard("shard-opened-unwanted", "and does not come back by what somebody still sends", () => {
    const shards = settled(4);
    const [node = ""] = pick(shards, 1);
    const member = shards.cluster.member(node);
    const groups = [...(member.host.shards?.all() ?? [])].map(({ id }) => id);
    expect(asked(shards, { drain: { nodes: [node], draining: true } })).toMatchObject({ type: "changed" });
    shards.cluster.until("it has given all", () => [...(member.host.shards?.all() ?? [])].length === 0, 60_000);
    for (const group of groups) {
      member.host.shards?.receive(groupId(group), {
        type: "heartbeat",
        from: "n9",
        to: node,
        term: 1,
        round: 1,
        commit: 0,
        match: 0,
      } as never);
    }
    shards.cluster.run(100);
    expect([...(member.host.shards?.all() ?? [])]).toEqual([]);
  });
});

function answerOf(member: Member, group: number, node: string, epoch: number): Told<boolean | null | "nothing"> {
  const told = new Told<boolean | null | "nothing">();
  told.value = "nothing";
  member.host.shards?.placement.hasMember({ group, node, epoch }, told.hear);
  return told;
}

describe("whether a shard counts a node (G4)", () => {
  guard("shard-member-uncommitted", "is not said while that is still being changed", () => {
    const shards = settled(3);
    const leader = shards.cluster.member(shards.leaders()[0] ?? "");
    const replica = replicaOf(leader, 1);
    const other = ["n1", "n2", "n3"].find((node) => node !== leader.config.node) ?? "";
    // Heartbeats pass: it is confirmed, and can commit nothing.
    onSend(shards, (_from, _to, sent) => sent.type !== "raft" || sent.group !== 1 || sent.message.type !== "append");
    expect(replica?.changeMembership({ remove: nodeId(other) })).toBe(null);
    const told = answerOf(leader, 1, other, 0);
    shards.cluster.until("an answer", () => told.value !== "nothing");
    expect(told.value).toBe(null);
  });

  guard("shard-member-by-an-earlier-map", "is not said by a leader that knows an earlier map than who asks", () => {
    const shards = settled(3);
    const leader = shards.cluster.member(shards.leaders()[0] ?? "");
    const epoch = leader.host.machine?.placement()?.epoch ?? 0;
    for (const [asking, expected] of [
      [epoch, false],
      [epoch + 1, null],
    ] as const) {
      const told = answerOf(leader, 1, "n9", asking);
      shards.cluster.until("an answer", () => told.value !== "nothing");
      expect(told.value).toBe(expected);
    }
  });
});
