import type { Violation } from "../checkers/history.ts";
import { QueueJudge } from "../judge/queue-judge.ts";
import type { World } from "../world/world.ts";
import { FencedClient } from "./fenced-client.ts";
import type { LockHistory } from "./lock-history.ts";
import { QueueClient } from "./queue-client.ts";
import { QueueDrain } from "./queue-drain.ts";
import { QueueHistory } from "./queue-history.ts";
import { QueuePassing } from "./queue-passing.ts";
import { partitionsOf, type SimQueue, simQueues } from "./queue-names.ts";
import { QueueSetup } from "./queue-setup.ts";
import { StreamProducer } from "./stream-producer.ts";
import { VirtualClient } from "./virtual-client.ts";
import type { Workload } from "./workload.ts";

const drainLooksEveryMs = 400;

/** Clients that produce to and consume from a few queues at the level of their storage. */
export class QueueWorkload implements Workload {
  readonly name = "queues";
  readonly history: QueueHistory = new QueueHistory();
  readonly queues: readonly SimQueue[] = simQueues();
  private readonly world: World;
  private readonly clients: VirtualClient[] = [];
  private readonly flows: (QueueClient | StreamProducer | FencedClient)[] = [];
  /** Of the locks under whose fences some clients write. */
  private readonly locks: LockHistory;
  private passing: QueuePassing | null = null;
  private drains: readonly QueueDrain[] = [];
  private asking = true;
  private drained = false;

  constructor(world: World, locks: LockHistory) {
    this.world = world;
    this.locks = locks;
  }

  start(): void {
    const { world } = this;
    const { operationsPerClient, queueClients, seed, shards, streamProducers } = world.options;
    const owner = this.client("queue-owner", seed, 0);
    new QueueSetup(owner, this.history, this.queues, shards, () => this.asking).start();
    this.passing = new QueuePassing(this.client("queue-passing", seed, 400), this.history, shards, () => this.asking);
    this.passing.start();
    for (let i = 0; i < queueClients; i += 1) {
      const client = this.client(`q${i + 1}`, seed, i + 1);
      this.clients.push(client);
      world.clients.push(client.name);
      const produces = i % 3 === 0;
      this.flows.push(new QueueClient(client, this.history, this.queues, shards, operationsPerClient, produces, () => this.asking));
    }
    for (let i = 0; i < streamProducers; i += 1) {
      const client = this.client(`s${i + 1}`, seed, 600 + i);
      this.clients.push(client);
      world.clients.push(client.name);
      this.flows.push(new StreamProducer(client, this.history, this.queues, shards, operationsPerClient, () => this.asking));
    }
    for (let i = 0; i < world.options.fencedClients; i += 1) {
      const client = this.client(`fenced${i + 1}`, seed, 700 + i);
      this.clients.push(client);
      world.clients.push(client.name);
      const histories = { locks: this.locks, queues: this.history };
      this.flows.push(new FencedClient(client, histories, this.queues, shards, operationsPerClient, () => this.asking));
    }
  }

  /** A seed of its own for each: leaving one out does not change the others. */
  private client(name: string, seed: number, number: number): VirtualClient {
    return new VirtualClient(this.world, name, Math.imul(seed, 6_007) + 1_000 + number);
  }

  wind(): void {
    this.asking = false;
    const { options, machines } = this.world;
    this.drains = machines
      .filter(({ spare }) => !spare)
      .map((machine, i) => {
        const client = this.client(`drain-${machine.name}`, options.seed, 500 + i);
        return new QueueDrain(client, machine, this.history, this.queues, options.shards, () => this.drained);
      });
    this.lookAtDrain();
  }

  /** Empty on the word of the log: nothing to hand out, in hand or on its way to be. */
  private lookAtDrain(): void {
    this.drained = this.flows.every(({ settled }) => settled) && this.passing?.settled !== false && this.left().length === 0;
    if (!this.drained) this.world.clock.schedule(drainLooksEveryMs, () => this.lookAtDrain());
  }

  private left(): readonly string[] {
    const { shards } = this.world;
    const found: string[] = [];
    for (const queue of this.queues) {
      if (queue.queue === 0) continue;
      for (let partition = 0; partition < partitionsOf(queue); partition += 1) {
        const { golden } = shards[(queue.queue + partition) % shards.length] as (typeof shards)[number];
        const { delayed, groups } = golden.stats(queue.queue, partition);
        if (delayed > 0) found.push(`${queue.name}/${partition}: ${delayed} delayed`);
        for (const { group, leased, ready } of groups) {
          if (ready + leased > 0) found.push(`${queue.name}/${partition} of ${group}: ${ready} ready, ${leased} leased`);
        }
      }
    }
    for (const { partition, queue } of this.passing?.places() ?? []) {
      const { golden } = shards[(queue + partition) % shards.length] as (typeof shards)[number];
      const { groups, messages } = golden.stats(queue, partition);
      if (messages + groups.length > 0) found.push(`deleted queue ${queue}/${partition}: ${messages} messages, ${groups.length} groups`);
    }
    return found;
  }

  issued(): number {
    return this.history.operations.length;
  }

  answered(): number {
    return this.history.operations.filter(({ ret }) => ret !== null).length;
  }

  settled(): boolean {
    return this.drained && this.drains.every((drain) => drain.settled);
  }

  open(): readonly string[] {
    const waiting = this.history.operations.filter(({ ret, refused, abandoned }) => ret === null && !refused && !abandoned);
    return [...this.left(), ...waiting.map(({ id, call }) => `${id} since ${call.toFixed(0)}`)];
  }

  stall(client: number, durationMs: number): void {
    const chosen = this.clients[client % this.clients.length];
    if (chosen === undefined) return;
    chosen.process.pause();
    this.world.clock.schedule(durationMs, () => chosen.process.resume());
  }

  kill(client: number): void {
    const alive = this.clients.filter((candidate) => candidate.alive);
    const chosen = alive[client % alive.length];
    if (chosen === undefined || alive.length * 2 <= this.clients.length) return;
    chosen.process.kill();
  }

  check(): Violation | null {
    this.count();
    return new QueueJudge(
      this.world.shards.map(({ golden }) => golden),
      this.history,
      this.queues,
    ).check();
  }

  private count(): void {
    const { shards, totals } = this.world;
    totals.add("queue operations", this.history.operations.length);
    totals.add("queue operations answered", this.answered());
    totals.add("messages received", this.history.received.length);
    for (const { golden } of shards) {
      totals.add("queue log repeats", golden.repeats);
      for (const { answer, command } of golden.steps) {
        if (answer.type === "produced") totals.add("messages produced", answer.messages.length);
        if (command.type === "expire-leases" && answer.type === "counted") totals.add("queue leases expired", answer.count);
        if (command.type === "fence-floor" && answer.type === "counted") totals.add("fence floors raised", answer.count);
        if (command.type === "produce" && command.ifFence !== null) totals.add(`fenced produces: ${answer.type}`);
      }
    }
    const placement = this.world.machines.find(({ running }) => running?.program.placement() !== null)?.running?.program.placement();
    totals.add("placements", placement?.epoch ?? 0);
    totals.add("placement moves", Math.max(0, (placement?.epoch ?? 1) - 1));
  }
}
