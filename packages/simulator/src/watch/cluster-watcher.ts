import type { RaftMessage } from "@trivet/core";

import type { Machine } from "../world/machine.ts";
import type { World } from "../world/world.ts";
import { FenceWatch } from "./fence-watch.ts";
import { GoldenLog } from "./golden-log.ts";
import { GoldenShard } from "./golden-shard.ts";
import { GroupWatcher } from "./group-watcher.ts";
import { PlacementWatch } from "./placement-watch.ts";

export type ShardWatcher = GroupWatcher<GoldenShard>;

/** All groups of the world, looked at after every step on the machines whose code ran. */
export class ClusterWatcher {
  readonly golden: GoldenLog = new GoldenLog();
  readonly shards: readonly ShardWatcher[];
  private readonly system: GroupWatcher<GoldenLog>;
  private readonly placement: PlacementWatch;
  private touched: Machine[] = [];

  constructor(world: World) {
    this.placement = new PlacementWatch(world, this.golden.state);
    const system = { label: "", elections: "elections", leaderChanges: "leader changes" };
    this.system = new GroupWatcher(world, { ...system, find: ({ program }) => program.group() }, this.golden);
    this.shards = Array.from({ length: world.options.shards }, (_, index) => {
      const shard = index + 1;
      const watched = { label: `s${shard}/`, elections: "shard elections", leaderChanges: "shard leader changes" };
      const fences = new FenceWatch(shard, this.golden.state, (invariant, detail) => world.fail(invariant, detail));
      const golden = new GoldenShard(shard, fences);
      const placed = this.placement.of(shard, () => golden.membership);
      return new GroupWatcher(world, { ...watched, ...placed, find: ({ program }) => program.shard(shard) }, golden);
    });
  }

  /** A Raft message leaves a node. */
  sent(message: RaftMessage, group: number): void {
    (group === 0 ? this.system : this.shards[group - 1])?.sent(message);
  }

  /** Code of this machine's node is about to run. */
  entered(machine: Machine): void {
    if (this.touched.at(-1) === machine) return;
    this.touched.push(machine);
  }

  /** The machine whose code ran last, for reports. */
  get lastTouched(): string {
    return this.touched.at(-1)?.name ?? "the world";
  }

  restarted(name: string): void {
    this.system.restarted(name);
    for (const shard of this.shards) shard.restarted(name);
  }

  replaced(name: string): void {
    this.system.replaced(name);
    for (const shard of this.shards) shard.replaced(name);
  }

  step(): void {
    if (this.touched.length === 0) return;
    const touched = this.touched;
    this.touched = [];
    for (const machine of touched) {
      this.system.look(machine);
      for (const shard of this.shards) shard.look(machine);
    }
    this.placement.look();
  }
}
