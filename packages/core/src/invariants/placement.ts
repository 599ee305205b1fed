import type { NodeId } from "../kernel/brand.ts";
import type { Membership } from "../raft/types.ts";

/**
 * What must hold of where shards are and how they come there (D4, rule G4), as predicates: null, or what is wrong. The tests of the core ask the
 * first two of `place`, the simulator all of what a cluster does.
 */
type Shards = readonly (readonly string[])[];

/** Every shard has as many replicas as there can be, each at another node, and no node more than its share of replicas and of leaders. */
export function mapProblem(shards: Shards, replication: number): string | null {
  const nodes = [...new Set(shards.flat())];
  const wanted = Math.min(replication, nodes.length);
  for (const [shard, replicas] of shards.entries()) {
    if (new Set(replicas).size !== replicas.length) return `shard ${shard + 1} names a node twice: ${replicas.join()}`;
    if (replicas.length !== wanted) return `shard ${shard + 1} has ${replicas.length} replicas of ${wanted}: ${replicas.join()}`;
  }
  const mostHeld = Math.ceil((shards.length * wanted) / nodes.length);
  const mostLed = Math.ceil(shards.length / nodes.length);
  for (const node of nodes) {
    const held = shards.filter((replicas) => replicas.includes(node)).length;
    const led = shards.filter(([leader]) => leader === node).length;
    if (held > mostHeld) return `${node} holds ${held} shards, and ${mostHeld} is its share`;
    if (led > mostLed) return `${node} leads ${led} shards, and ${mostLed} is its share`;
  }
  return null;
}

/** A map in the place of another moves no more than was at nodes that are gone, the share of those that came, and one shard. */
export function repairProblem(before: Shards, after: Shards): string | null {
  const known = new Set(before.flat());
  const nodes = new Set(after.flat());
  const wanted = Math.max(...after.map((replicas) => replicas.length));
  const moved = after.reduce((sum, replicas, shard) => sum + replicas.filter((node) => !before[shard]?.includes(node)).length, 0);
  const lost = before.flat().filter((node) => !nodes.has(node)).length;
  const came = [...nodes].filter((node) => !known.has(node)).length * Math.ceil((after.length * wanted) / nodes.size);
  const most = lost + came + wanted;
  return moved <= most ? null : `${moved} replicas move where ${lost} were lost and ${came} are the share of new nodes`;
}

/** A change that the leader of a shard has put into its group's log. */
export interface PlacementStep {
  readonly leader: NodeId;
  readonly before: Membership;
  readonly after: Membership;
  /** Where the map wants the shard, as its leader knows it. */
  readonly wanted: readonly string[];
  /** Has it the entries that the configuration of before came with, on its disk? */
  readonly has: (node: NodeId) => boolean;
  /** Has the leader heard it in the time that it may rely upon where one leaves? */
  readonly isHeard: (node: NodeId) => boolean;
  /** And where one comes, which is shorter? */
  readonly isThere: (node: NodeId) => boolean;
  /** It is to be emptied. */
  readonly isDraining: (node: NodeId) => boolean;
  /** It has lost what it had (rule G5). */
  readonly isLost: (node: NodeId) => boolean;
}

/** One replica comes or goes at a time, and none that the group could miss. */
export function stepProblem(step: PlacementStep): string | null {
  const { after, before, has, isDraining, isHeard, isLost, isThere, leader, wanted } = step;
  const isFirst = before.voters.length === 0;
  // What is left of a change that was looked at when it began.
  if (isFirst || before.outgoing.length > 0) return null;
  const goes = before.voters.filter((node) => !after.voters.includes(node));
  const comes = after.voters.filter((node) => !before.voters.includes(node));
  const learns = after.learners.filter((node) => !before.learners.includes(node));
  if (goes.length > 1 || comes.length + learns.length > 1) return `more than one at a time: ${[...goes, ...comes, ...learns].join()}`;
  const stranger = learns.find((node) => !wanted.includes(node));
  if (stranger !== undefined) return `${stranger} is not wanted there`;
  const early = comes.find((node) => !before.learners.includes(node) || !has(node));
  if (early !== undefined) return `${early} votes before it has what the others have`;
  const isLeaving = (node: NodeId): boolean => node !== leader && !wanted.includes(node);
  if (comes.length > 0 && goes.length === 0 && before.voters.some(isLeaving)) return `${comes.join()} votes beside one that leaves`;
  const [gone] = goes;
  const isLeft = comes.length > 0 ? isThere : isHeard;
  const left = after.voters.filter((node) => node === leader || (has(node) && isLeft(node)));
  const isMinority = left.length * 2 <= after.voters.length;
  if (comes.length > 0 && (isMinority || !comes.every(isThere)))
    return `with ${comes.join()} only ${left.join()} are there of ${after.voters.join()}`;
  if (gone === undefined || isLost(gone)) return null;
  if (gone === leader) return `${gone} takes part in its own removal`;
  const isMissing = wanted.some((node) => !after.voters.some((voter) => voter === node));
  if (comes.length === 0 && isMissing) {
    if (!isDraining(gone)) return `${gone} leaves before those that should come are there`;
    if (after.voters.length * 2 <= wanted.length) return `${gone} leaves, and only ${after.voters.join()} are left of ${wanted.length}`;
  }
  return isMinority ? `without ${gone} only ${left.join()} are left of ${after.voters.join()}` : null;
}
