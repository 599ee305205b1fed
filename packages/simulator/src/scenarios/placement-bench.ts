import type { RaftGroup } from "@trivet/core";
import type { NodeApi } from "@trivet/engine";
import { encodeUtf8, shardNumberOf } from "@trivet/wire";

import { misledShards, shardsConverged } from "../convergence.ts";
import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, Found } from "./scenario.ts";

type MemberRequest = Parameters<NodeApi["changeMembers"]>[0];

export const shardCount = 4;
/** A node is silent for so long before its shards move. */
export const silenceMs = 3_000;
const patienceMs = 60_000;
const loadEveryMs = 50;

/**
 * Nodes with shards, under load, and spare machines. Shards move from the silent within seconds. What the placement must keep is looked at all along
 * (PlacementWatch); a script that ends asks whether it has come to rest.
 */
export class PlacementBench extends ClusterBench {
  private queue = 0;
  private produced = 0;

  constructor(nodes: number, spares: number, seed: number) {
    super(nodes, { bufferedBytes: [0] }, seed, shardCount, undefined, { spares, deadNodesMoveMs: silenceMs });
    const settings = { partitions: shardCount };
    const result = this.submit(this.theLeader(), { type: "define-queue", name: "q", mode: "ensure", settings, principal: "p" });
    if (result.type !== "queue-defined") throw new Found("liveness", JSON.stringify(result));
    this.queue = result.queue;
    this.untilSettled();
    this.load();
  }

  get members(): readonly Machine[] {
    return this.machines.filter(({ spare }) => !spare);
  }

  machine(name: string): Machine {
    const found = this.machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Found("liveness", `there is no ${name}`);
    return found;
  }

  // ── What is where ──

  /** As the leader of group 0 has it. */
  get map(): readonly (readonly string[])[] {
    return this.leader()?.running?.program.placement()?.shards ?? [];
  }

  get epoch(): number {
    return this.leader()?.running?.program.placement()?.epoch ?? 0;
  }

  isPlaced({ name }: Machine): boolean {
    return this.map.some((replicas) => replicas.includes(name));
  }

  /** The configuration of a shard, as its leader of the latest term has it. */
  voters(shard: number): readonly string[] {
    return this.raft(shard)?.membership.voters ?? [];
  }

  /** Does any shard count it, at whichever leader? */
  isCounted({ name }: Machine): boolean {
    return this.shards.some((shard) => {
      const { learners = [], outgoing = [], voters = [] } = this.raft(shard)?.membership ?? {};
      return [...voters, ...outgoing, ...learners].some((node) => node === name);
    });
  }

  get shards(): readonly number[] {
    return Array.from({ length: shardCount }, (_, index) => index + 1);
  }

  /** All that the placement has done so far, in one line: it changes with every step. */
  progress(): string {
    const groups = this.shards.map((shard) => {
      const { learners = [], outgoing = [], voters = [] } = this.raft(shard)?.membership ?? {};
      return `${voters.join()}/${outgoing.join()}/${learners.join()}`;
    });
    return [this.world.watcher.golden.state.placement()?.epoch ?? 0, ...groups].join(" ");
  }

  shardLeader(shard: number): Machine | null {
    const leads = (machine: Machine): number => {
      const raft = machine.running?.program.shard(shard)?.raft;
      return raft?.role === "leader" ? raft.term : 0;
    };
    const [latest] = this.machines.filter((machine) => leads(machine) > 0).sort((a, b) => leads(b) - leads(a));
    return latest ?? null;
  }

  // ── What is done ──

  /** Asks whoever leads group 0 until it is done: leaders change. */
  change(request: MemberRequest): void {
    const end = this.world.clock.now() + patienceMs;
    let last = "nothing";
    while (this.world.clock.now() < end) {
      const told = this.ask(request);
      this.world.runUntil(this.world.clock.now() + 25_000, () => told.type !== "" || this.world.violation !== null);
      this.run(0);
      if (told.type === "changed") return;
      last = `${told.type} ${told.reason}`;
      this.run(300);
    }
    throw new Found("liveness", `${JSON.stringify(request)} is never done: ${last}; ${shardsConverged(this.world) ?? ""}`);
  }

  /** Asks and goes on. */
  ask(request: MemberRequest): { type: string; reason: string } {
    const told = { type: "", reason: "" };
    const asked = this.leader() ?? this.members.find(({ alive }) => alive);
    const { running } = asked ?? {};
    if (running === null || running === undefined) throw new Found("liveness", "nobody runs");
    running.process.guard(() =>
      running.program.api.changeMembers(request, 20_000, (outcome) => {
        told.type = outcome.type;
        told.reason = "reason" in outcome ? outcome.reason : "";
      }),
    )();
    return told;
  }

  /** An empty machine asks the members to take it in, under the name that it has. */
  join(machine: Machine): void {
    const doors = this.members.filter((member) => member !== machine && member.alive).map(({ name }) => name);
    machine.kill(true);
    machine.wipe(doors);
    machine.spare = false;
    machine.start();
  }

  /** Out of the cluster, by an operator; then its program ends. */
  remove(machine: Machine): void {
    this.change({ remove: [machine.name] });
    expect(!this.isCounted(machine), "placement-removed", () => `${machine.name} is removed, and a shard counts it: ${this.progress()}`);
    machine.spare = true;
    machine.kill(false);
  }

  cutOff(machine: Machine, cut: boolean): void {
    for (const other of this.machines) if (other !== machine) this.cut(machine, other, cut);
  }

  // ── What is waited for ──

  untilSettled(): void {
    const problem = (): string | null =>
      this.leader() === null ? "group 0 has no leader" : (shardsConverged(this.world) ?? misledShards(this.world));
    this.world.runUntil(this.world.clock.now() + patienceMs, () => problem() === null);
    this.run(0);
    expect(problem() === null, "liveness-converge", () => problem() ?? "");
  }

  /** Every one of these shards takes messages within the time that an election and its first round take. */
  serves(shards: readonly number[], limitMs: number): void {
    for (const shard of shards) {
      const before = this.committed(shard);
      this.until(
        () => this.committed(shard) > before + 1,
        limitMs,
        `shard ${shard} of ${this.voters(shard).join()} takes messages: ${this.progress()}`,
      );
    }
  }

  private committed(shard: number): number {
    return this.world.shards[shard - 1]?.golden.lastIndex ?? 0;
  }

  private raft(shard: number): RaftGroup | undefined {
    return this.shardLeader(shard)?.running?.program.shard(shard)?.raft;
  }

  /** One message after another into every shard, through each node in turn that runs. */
  private load(): void {
    this.world.clock.schedule(loadEveryMs, () => {
      this.load();
      const up = this.members.filter(({ alive }) => alive);
      const { running } = up[this.produced % Math.max(1, up.length)] ?? {};
      this.produced += 1;
      if (running === null || running === undefined) return;
      const partition = this.produced % shardCount;
      const body = encodeUtf8(`m${this.produced} of shard ${shardNumberOf(this.queue, partition, shardCount)}`);
      const message = { key: "", body, headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
      const command = { type: "produce", queue: this.queue, partition, version: 1, messages: [message], ifFence: null } as const;
      running.process.guard(
        () => void running.program.storage.submit({ queue: this.queue, partition }, command, { timeoutMs: 2_000 }, () => undefined),
      )();
    });
  }
}
