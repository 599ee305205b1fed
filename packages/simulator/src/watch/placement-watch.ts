import { mapProblem, type Membership, nodeId, type PlacementView, repairProblem, stepProblem, type SystemView } from "@trivet/core";

import type { World } from "../world/world.ts";
import type { Configured, WatchedGroup } from "./group-watcher.ts";

/** Clocks of nodes run at most so much slower than the world's. */
const slowest = 1.01;

/** Where shards are and how they come there (D4, rule G4), as it may be seen from outside: each map, each change of a group, each state deleted. */
export class PlacementWatch {
  private readonly world: World;
  private readonly group0: SystemView;
  private map: PlacementView | null = null;

  constructor(world: World, group0: SystemView) {
    this.world = world;
    this.group0 = group0;
  }

  /** After entries of group 0 were committed. */
  look(): void {
    const map = this.group0.placement();
    if (map === this.map || map === null) return;
    const { epoch, replication, shards } = map;
    this.check("placement-map", mapProblem(shards, replication), () => `map ${epoch}`);
    if (this.map !== null) this.check("placement-repair", repairProblem(this.map.shards, shards), () => `map ${epoch}`);
    this.map = map;
  }

  /** How the group of a shard is watched. */
  of(shard: number, committed: () => Membership | null): Pick<WatchedGroup, "configured" | "given"> {
    return {
      configured: (change) => this.configured(shard, change),
      given: (machine) => this.given(shard, machine, committed()),
    };
  }

  private configured(shard: number, { after, before, has, machine }: Configured): void {
    const { world } = this;
    const program = world.machines.find(({ name }) => name === machine)?.running?.program;
    const registry = program?.group()?.machine.nodes() ?? [];
    const { electionMaxMs, electionMinMs } = world.tuning;
    const silentMs = (node: string): number => world.clock.now() - world.network.heardAt(machine, node);
    const problem = stepProblem({
      leader: nodeId(machine),
      before,
      after,
      wanted: program?.placement()?.shards[shard - 1] ?? [],
      // What a lost disk had is not known here.
      has: (node) => has(node) || world.damaged.has(node),
      isHeard: (node) => silentMs(node) <= 2 * slowest * electionMaxMs,
      isThere: (node) => silentMs(node) <= slowest * electionMinMs,
      isDraining: (node) => registry.find((known) => known.node === node)?.draining === true,
      isLost: (node) => world.damaged.has(node),
    });
    this.check("placement-step", problem, () => `shard ${shard}, led by ${machine}: ${named(before)} to ${named(after)}`);
    if (after.outgoing.length > 0) world.totals.add("shard replicas exchanged");
  }

  private given(shard: number, machine: string, membership: Membership | null): void {
    const { world } = this;
    const { outgoing, voters } = membership ?? { outgoing: [], voters: [] };
    world.totals.add("shard states deleted");
    // A damaged store is deleted to be fetched again, wherever it is.
    if (world.damaged.has(machine) || ![...voters, ...outgoing].some((node) => node === machine)) return;
    world.fail("placement-given", `${machine} has deleted shard ${shard}, of which it is a voter: ${voters.join()}`);
  }

  private check(invariant: string, problem: string | null, where: () => string): void {
    if (problem !== null) this.world.fail(invariant, `${where()}: ${problem}`);
  }
}

function named({ learners, voters }: Membership): string {
  return learners.length === 0 ? voters.join() : `${voters.join()} and ${learners.join()}`;
}
