import { type Entry, type LogIndex, type NodeId, nodeId } from "@trivet/core";
import { afterEach, describe, expect, vi } from "vitest";
import { SystemMachine } from "../../src/groups/system-machine.ts";
import { PlacementWaits } from "../../src/shards/placement-waits.ts";
import type { ShardGroup } from "../../src/shards/shard-group.ts";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { alive, drain, groupsOf, holds, isSettled, join, leading, mapOf, names, onSend, settled } from "./placement-support.ts";
import type { Shards } from "./support.ts";

afterEach(() => vi.restoreAllMocks());

interface Filled {
  readonly shards: Shards;
  readonly replica: ShardGroup;
  /** Leaves the shard; group 0's leader, where it is one of the two. */
  readonly leaving: NodeId;
  readonly other: NodeId;
  readonly heir: NodeId;
  /** Looks at the shard as its leader does. */
  readonly look: () => void;
}

/** A shard in which one of four nodes takes the place of another, and has everything, but does not vote yet. */
function filled(): Filled {
  const shards = settled(4);
  const { cluster } = shards;
  const zero = cluster.leader()?.config.node ?? "";
  const replica = leading(shards).find(({ group }) => group.raft.membership.voters.includes(nodeId(zero)));
  if (replica === undefined) throw new Error(`${zero} is in no shard`);
  const { raft } = replica.group;
  const { steps } = cluster.member(raft.self).host.shards?.placement ?? {};
  const [leaving, other] = raft.membership.voters.filter((node) => node !== raft.self).toSorted((a) => (a === zero ? -1 : 1));
  const heir = ["n1", "n2", "n3", "n4"].map(nodeId).find((node) => !raft.membership.voters.includes(node));
  if (leaving === undefined || other === undefined || heir === undefined || steps === undefined) throw new Error("not three of four");
  // The step from learner to voter comes late.
  const advance = steps.advance.bind(steps);
  const late = vi.spyOn(steps, "advance");
  late.mockImplementation((next, wanted) => {
    if (next !== replica || raft.membership.learners.length === 0) advance(next, wanted);
  });
  drain(shards, leaving);
  cluster.until("it has everything, and says so", () => {
    const progress = raft.progress().find(({ peer }) => peer === heir);
    return progress?.state === "replicate" && progress.match === raft.commitIndex && !progress.recovering;
  });
  const look = (): void => {
    late.mockRestore();
    steps.advance(replica, [raft.self, other, heir]);
  };
  return { shards, replica, leaving, other, heir, look };
}

/** Nothing passes to or from these nodes; of the shard only, or at all. */
function silence(shards: Shards, nodes: readonly NodeId[], group?: number): void {
  onSend(shards, (from, to, sent) => {
    const isMeant = group === undefined || (sent.type === "raft" && sent.group === group);
    return !isMeant || ![from, to].some((node) => nodes.includes(nodeId(node)));
  });
}

describe("one that is to vote in a shard (decision 0035)", () => {
  guard("shard-promotion-leaves-minority", "does so only when it is heard", () => {
    const { heir, look, other, replica, shards } = filled();
    const { cluster } = shards;
    const { raft } = replica.group;
    silence(shards, [other, heir]);
    cluster.run(400);
    expect(cluster.member(raft.self).host.system?.leader()).toBe(cluster.leader()?.config.node);
    look();
    cluster.run(100);
    expect(raft.membership).toMatchObject({ outgoing: [], learners: [heir] });
    cluster.run(3_000);
    // Two of three are there, and go on.
    expect(raft.role).toBe("leader");
  });

  guard("shard-exchange-leaves-minority", "does so only when a majority of those that vote is heard as well", () => {
    const { heir, leaving, look, other, replica, shards } = filled();
    const { raft } = replica.group;
    silence(shards, [leaving, other], replica.id);
    shards.cluster.run(400);
    expect(raft.role).toBe("leader");
    const told = vi.spyOn(PlacementWaits.prototype, "waits");
    look();
    expect(raft.membership).toMatchObject({ outgoing: [], learners: [heir] });
    expect(told.mock.calls.at(-1)?.[0].why).toContain(`${heir} has everything and is to vote in it, but there would be no quorum`);
  });
});

/** From here on nodes that start apply nothing of group 0's log that is behind `index`, until it is let go. */
function holdTail(index: LogIndex): () => void {
  const apply = Object.getOwnPropertyDescriptor(SystemMachine.prototype, "apply")?.value as SystemMachine["apply"];
  const isKept = (entry: Entry): boolean => entry.index <= index;
  const held: (() => void)[] = [];
  let isHeld = true;
  vi.spyOn(SystemMachine.prototype, "apply").mockImplementation(function (this: SystemMachine, entries, sink, applied) {
    if (!isHeld) return apply.call(this, entries, sink, applied);
    apply.call(this, entries.filter(isKept), sink, () => undefined);
    held.push(() =>
      apply.call(
        this,
        entries.filter((entry) => !isKept(entry)),
        sink,
        applied,
      ),
    );
  });
  return () => {
    isHeld = false;
    for (const go of held) go();
  };
}

/** A cluster of one that has become one of three, all restarted, which know the map of one only; and how they get to know the other. */
function early(): { readonly shards: Shards; readonly letGo: () => void } {
  const shards = settled(1);
  const { cluster } = shards;
  const index = cluster.leader()?.host.system?.appliedIndex;
  if (index === undefined) throw new Error("nobody leads");
  for (const node of ["n2", "n3"]) join(shards, node);
  cluster.until("all hold shards", () => names(shards).length === 3 && isSettled(shards), 60_000);
  cluster.run(2_000);
  const letGo = holdTail(index);
  for (const node of ["n1", "n2", "n3"]) cluster.kill(node);
  for (const node of ["n1", "n2", "n3"]) cluster.restart(node);
  shards.untilLed();
  cluster.until("group 0 has a leader that all hear", () => alive(shards).every(({ host }) => (host.system?.leader() ?? null) !== null));
  expect(cluster.leader()?.host.machine?.placement()?.shards).toEqual(mapOf(shards).map(() => ["n1"]));
  return { shards, letGo };
}

describe("nodes that were restarted and know the map of before", () => {
  guard("shard-changed-by-an-early-map", "remove nobody whom a later one names", () => {
    const { letGo, shards } = early();
    shards.cluster.run(4_000);
    for (const node of ["n2", "n3"]) expect(groupsOf(shards, node, "voters")).toEqual([1, 2, 3, 4]);
    letGo();
    shards.cluster.until("they know it", () => names(shards).length === 3 && isSettled(shards), 60_000);
  });

  guard("shard-left-by-an-early-map", "do not ask to be let go", () => {
    const { letGo, shards } = early();
    const asked: string[] = [];
    for (const { host } of alive(shards)) {
      const call = vi.spyOn(host.calls, "call");
      shards.cluster.run(700);
      asked.push(...call.mock.calls.map(([, method]) => method));
    }
    expect(asked).not.toContain("shard-has");
    letGo();
  });

  guard("shard-member-by-an-early-map", "do not say who is in a shard", () => {
    const { letGo, shards } = early();
    const [name] = shards.leaders();
    const told = new Told<boolean | null | "nothing">();
    told.value = "nothing";
    shards.cluster.member(name ?? "").host.shards?.placement.hasMember({ group: 1, node: "n9", epoch: 1 }, told.hear);
    shards.cluster.until("an answer", () => told.value !== "nothing");
    expect(told.value).toBe(null);
    letGo();
    shards.cluster.until("they know it", () => holds(shards, "n2") && isSettled(shards), 60_000);
  });
});
