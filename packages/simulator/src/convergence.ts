import type { Machine } from "./world/machine.ts";
import type { AnyGroupInspection, Program } from "./world/program.ts";
import type { World } from "./world/world.ts";

/** One leader, and every member has applied all that is committed, with one state. */
export function converged(world: World): boolean {
  const groups = world.machines.filter((machine) => !machine.spare).map((machine) => machine.running?.program.group() ?? null);
  const leader = groups.find((group) => group?.raft.role === "leader");
  if (leader === null || leader === undefined) return false;
  const { membership, commitIndex } = leader.raft;
  const members = [...membership.voters, ...membership.learners];
  return world.machines.every((machine) => {
    if (!members.some((member) => member === machine.name)) return true;
    const group = machine.running?.program.group() ?? null;
    return group !== null && group.appliedIndex === commitIndex && group.machine.stateHash() === leader.machine.stateHash();
  });
}

export function describe(world: World): string {
  return world.machines
    .map((machine) => {
      const group = machine.running?.program.group() ?? null;
      if (group === null)
        return `${machine.name} ${machine.spare ? "spare" : machine.alive ? `without group (${machine.phase()})` : "down"}`;
      const { raft } = group;
      const peers = raft.progress().map(({ peer, state, match, next, inflightMessages, snapshot }) => {
        const sending = snapshot === null ? "" : ` snapshot ${snapshot.id ?? "?"} at ${snapshot.offset} of ${snapshot.bytes}`;
        return `${peer} ${state} match ${match} next ${next} inflight ${inflightMessages}${sending}`;
      });
      const own = `${machine.name} ${raft.role} term ${raft.term} first ${raft.firstIndex} last ${raft.lastIndex} durable ${raft.durableIndex} commit ${raft.commitIndex}`;
      return `${own} applied ${group.appliedIndex} votes ${raft.mayVote}${peers.length === 0 ? "" : ` [${peers.join(", ")}]`}`;
    })
    .join("; ");
}

/** Every shard lies where the map says, and its replicas are one. Null = so it is. */
export function shardsConverged(world: World): string | null {
  const leading = systemLeader(world);
  const placement = leading?.placement();
  const { voters: members = [], learners: others = [] } = leading?.group()?.raft.membership ?? {};
  // A machine that was removed serves nothing any more, and nothing counts what it has left.
  const machines = world.machines.filter(({ name }) => [...members, ...others].some((member) => member === name));
  for (let shard = 1; shard <= world.options.shards; shard += 1) {
    const wanted = placement?.shards[shard - 1];
    if (wanted === undefined) return `shard ${shard} was never placed`;
    const replicas = machines.flatMap((machine) => replicaOf(machine, shard));
    const leader = replicas.find(({ group }) => group.raft.role === "leader");
    const { voters = [], learners = [], outgoing = [] } = leader?.group.raft.membership ?? {};
    const isPlaced = [...voters].sort().join() === [...wanted].sort().join() && learners.length + outgoing.length === 0;
    const hash = leader?.group.machine.stateHash() ?? null;
    const isOne =
      leader !== undefined &&
      hash !== null &&
      replicas.length === voters.length &&
      replicas.every(({ group }) => group.appliedIndex === leader.group.raft.commitIndex && group.machine.stateHash() === hash);
    if (!isPlaced || !isOne) return `shard ${shard} should be at ${wanted.join()}: ${replicas.map(describeReplica).join("; ")}`;
  }
  return null;
}

/** Members that run and have no place in the map, or shards that are not led by whom it wants to lead them; null = none. */
export function misledShards(world: World): string | null {
  const leading = systemLeader(world);
  const placement = leading?.placement();
  const { learners = [], voters = [] } = leading?.group()?.raft.membership ?? {};
  const runs = (node: string): boolean => world.machines.some(({ name, running }) => name === node && running !== null);
  const staying = leading
    ?.group()
    ?.machine.nodes()
    .filter(({ draining, node }) => !draining && runs(node) && [...voters, ...learners].some((member) => member === node));
  const outside = staying?.find(({ node }) => placement?.shards.flat().includes(node) !== true);
  if (world.options.shards > 0 && outside !== undefined) return `${outside.node} has no shards`;
  for (let shard = 1; shard <= world.options.shards; shard += 1) {
    const leader = world.machines.find(({ running }) => running?.program.shard(shard)?.raft.role === "leader");
    const wanted = placement?.shards[shard - 1]?.[0];
    if (leader?.name !== wanted) return `shard ${shard} should be led by ${wanted ?? "nobody"}, and is by ${leader?.name ?? "nobody"}`;
  }
  return null;
}

/** Tells later what has changed since: of the map, and of where its shards are. Null = nothing. */
export function placementStood(world: World): () => string | null {
  const before = placements(world);
  return () => {
    const after = placements(world);
    return before === after ? null : `what came to rest goes on: first ${before}, then ${after}`;
  };
}

function placements(world: World): string {
  const shards = world.shards.map((_, index) => {
    const { running } = world.machines.find((machine) => machine.running?.program.shard(index + 1)?.raft.role === "leader") ?? {};
    const raft = running?.program.shard(index + 1)?.raft;
    return `shard ${index + 1} of configuration ${raft?.membershipIndex ?? "none"} in term ${raft?.term ?? "none"}`;
  });
  return [`map ${systemLeader(world)?.placement()?.epoch ?? "none"}`, ...shards].join(", ");
}

function systemLeader(world: World): Program | undefined {
  return world.machines.find(({ running }) => running?.program.group()?.raft.role === "leader")?.running?.program;
}

function replicaOf(machine: Machine, shard: number): readonly { readonly machine: Machine; readonly group: AnyGroupInspection }[] {
  const group = machine.running?.program.shard(shard) ?? null;
  return group === null ? [] : [{ machine, group }];
}

function describeReplica({ group, machine }: { readonly machine: Machine; readonly group: AnyGroupInspection }): string {
  const { raft } = group;
  const { learners, outgoing, voters } = raft.membership;
  const members = `voters ${voters.join()} of before ${outgoing.join()} learners ${learners.join()} since ${raft.membershipIndex}`;
  const peers = raft.progress().map(({ match, next, peer, state }) => `${peer} ${state} match ${match} next ${next}`);
  return `${machine.name} ${raft.role} term ${raft.term} first ${raft.firstIndex} last ${raft.lastIndex} durable ${raft.durableIndex} commit ${raft.commitIndex} applied ${group.appliedIndex} votes ${raft.mayVote} ${members}${peers.length === 0 ? "" : ` [${peers.join(", ")}]`}`;
}
