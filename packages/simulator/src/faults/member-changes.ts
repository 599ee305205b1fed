import type { Machine } from "../world/machine.ts";
import type { World } from "../world/world.ts";

const fewestVoters = 3;

interface PlacedShard {
  readonly shard: number;
  readonly voters: readonly string[];
}

/** Changes of membership, and the budget of lost disks: never so many at once that committed data could be gone from a majority. */
export class MemberChanges {
  private readonly world: World;
  private readonly healed: () => boolean;
  /** Machines whose disk lost something and that do not yet vote again. */
  private readonly harmed = new Set<Machine>();
  private busy = false;

  constructor(world: World, healed: () => boolean) {
    this.world = world;
    this.healed = healed;
  }

  /** May this disk be lost now? Only when every other voter is whole and no change of membership is under way. */
  mayDamage(machine: Machine): boolean {
    this.forgive();
    const voters = this.voters();
    if (voters.length < fewestVoters || !voters.includes(machine.name) || this.harmed.size > 0 || this.busy) return false;
    return this.shards().every((shard) => shard !== null && this.mayLose(shard, machine));
  }

  /** Taking shards away from a machine may leave them with two replicas: no disk may be lost then, nor have been. */
  mayDrain(): boolean {
    this.forgive();
    return this.harmed.size === 0 && !this.busy;
  }

  draining(draining: boolean): void {
    this.busy = draining;
  }

  damaged(machine: Machine): void {
    this.world.damaged.add(machine.name);
    this.harmed.add(machine);
  }

  /** Takes a spare machine in, or removes a member and makes it a spare. */
  change(asked: Machine, strength: number): void {
    this.forgive();
    if (this.busy || this.harmed.size > 0) return;
    const spare = this.world.machines.find((machine) => machine.spare);
    const members = this.world.machines.filter((machine) => !machine.spare);
    if (spare !== undefined && (strength < 0.6 || this.voters().length <= fewestVoters)) {
      this.join(spare, members);
      return;
    }
    if (this.voters().length <= fewestVoters) return;
    const leaving = members[Math.floor(strength * 1_000) % members.length];
    if (leaving !== undefined) this.remove(asked, leaving);
  }

  private join(spare: Machine, members: readonly Machine[]): void {
    spare.spare = false;
    spare.wipe(members.map((member) => member.name));
    spare.start();
    // It counts as harmed until it votes: its place in the quorum is not filled before.
    this.harmed.add(spare);
    this.world.totals.add("joins begun");
  }

  private remove(asked: Machine, leaving: Machine): void {
    const { running } = asked;
    if (running === null) return;
    this.busy = true;
    this.world.totals.add("removals begun");
    // All its shards are moved away first.
    const movesMs = this.world.options.shards === 0 ? 0 : 14_000;
    const timer = this.world.clock.schedule(8_000 + movesMs, () => {
      this.busy = false;
    });
    running.process.guard(() =>
      running.program.api.changeMembers({ remove: [leaving.name] }, 6_000 + movesMs, (outcome) => {
        timer.cancel();
        this.world.event(leaving.name, "removal", () => outcome.type);
        if (outcome.type !== "changed") {
          this.busy = false;
          return;
        }
        this.world.totals.add("members removed");
        // The program stays a moment longer, as real ones do, and must not disturb anybody meanwhile (mutant 24).
        this.world.clock.schedule(1_500, () => {
          this.busy = false;
          if (this.voters().includes(leaving.name)) return;
          leaving.spare = true;
          leaving.kill(false);
          if (!this.healed()) leaving.wipe([]);
        });
      }),
    )();
  }

  /** Voters of the newest committed configuration that any live leader stands for. */
  private voters(): readonly string[] {
    for (const machine of this.world.machines) {
      const raft = machine.running?.program.group()?.raft;
      if (raft?.role === "leader" && raft.membershipIndex <= raft.commitIndex && raft.membership.outgoing.length === 0)
        return raft.membership.voters;
    }
    return [];
  }

  private forgive(): void {
    const voters = this.voters();
    for (const machine of this.harmed) {
      const group = machine.running?.program.group();
      if (!voters.includes(machine.name) || group?.raft.mayVote !== true) continue;
      const isWhole = this.shards().every(
        (shard) => shard !== null && (!shard.voters.includes(machine.name) || votes(machine, shard.shard)),
      );
      // What is rotten is lost, whether or not it was read since.
      if (isWhole && machine.disk.stores?.memory.isDamaged !== true) this.harmed.delete(machine);
    }
  }

  /** A shard can lose one of its replicas when all others of at least three have everything they ever had. */
  private mayLose({ shard, voters }: PlacedShard, machine: Machine): boolean {
    if (!voters.includes(machine.name)) return true;
    const others = this.world.machines.filter((other) => other !== machine && voters.includes(other.name));
    const wanted = this.world.machines
      .find((other) => other.running?.program.group()?.raft.role === "leader")
      ?.running?.program.placement();
    if ((wanted?.shards[shard - 1]?.length ?? 0) < fewestVoters) return false;
    return voters.length >= fewestVoters && others.every((other) => !other.alive || votes(other, shard));
  }

  /** Each shard as its leader has it; null = it has none, or changes at this moment. */
  private shards(): readonly (PlacedShard | null)[] {
    return this.world.shards.map((_, index) => {
      const shard = index + 1;
      for (const machine of this.world.machines) {
        const raft = machine.running?.program.shard(shard)?.raft;
        if (raft?.role !== "leader") continue;
        if (raft.membershipIndex > raft.commitIndex || raft.membership.outgoing.length > 0) return null;
        return { shard, voters: raft.membership.voters };
      }
      return null;
    });
  }
}

function votes(machine: Machine, shard: number): boolean {
  return machine.running?.program.shard(shard)?.raft.mayVote === true;
}
