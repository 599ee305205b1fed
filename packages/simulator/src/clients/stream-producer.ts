import type { NodeApi } from "@trivet/engine";
import { encodeUtf8, type NewMessage, shardNumberOf } from "@trivet/wire";

import type { Machine, Running } from "../world/machine.ts";
import { OrderedLanes } from "./ordered-lanes.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

const keys = ["k1", "k2", "k3", ""] as const;
const pollMs = 250;
/** Longer than a node takes to answer while all is well. */
const impatienceMs = 1_500;

/**
 * A program that produces over a stream as the SDK does: turn after turn without waiting for answers, several shards at a time, through one node at a time.
 * What it sends to one partition is stored in the order in which it was sent (rule X4), which the judge looks at.
 */
export class StreamProducer {
  private readonly client: VirtualClient;
  private readonly history: QueueHistory;
  private readonly queues: readonly SimQueue[];
  private readonly shards: number;
  private readonly mayStart: () => boolean;
  private readonly lanes = new Map<number, OrderedLanes>();
  private budget: number;
  private serial = 0;
  private machine: Machine | null = null;
  private running: Running | null = null;
  private connection = 0;
  /** Group time minus this program's clock; null until a node has told it. */
  private groupOffset: number | null = null;
  /** Routes that the node of the moment has. */
  private routed = new Set<string>();

  constructor(
    client: VirtualClient,
    history: QueueHistory,
    queues: readonly SimQueue[],
    shards: number,
    budget: number,
    mayStart: () => boolean,
  ) {
    this.client = client;
    this.history = history;
    this.queues = queues;
    this.shards = shards;
    this.budget = budget;
    this.mayStart = mayStart;
    client.after(2_000 + client.prng.below(1_500), () => this.turn());
    this.poll();
  }

  get settled(): boolean {
    return !this.client.alive || [...this.lanes.values()].every(({ openCount }) => openCount === 0);
  }

  private turn(): void {
    const { prng } = this.client;
    const known = this.queues.filter(({ queue }) => queue > 0);
    if (!this.mayStart() || this.budget <= 0) return;
    // In bursts: several turns are on their way at a time.
    this.client.after(prng.chance(0.8) ? prng.below(20) : 200 + prng.below(1_500), () => this.turn());
    if (known.length === 0 || this.groupOffset === null) return;
    this.budget -= 1;
    const queue = prng.pick(known);
    const used = new Set<OrderedLanes>();
    for (let left = 1 + prng.below(3); left > 0; left -= 1) used.add(this.produce(queue));
    for (const lanes of used) lanes.endTurn();
  }

  private produce(queue: SimQueue): OrderedLanes {
    const { client } = this;
    const { prng } = client;
    const partition = prng.below(partitionsOf(queue));
    const messages = Array.from({ length: prng.chance(0.8) ? 1 : 3 }, () => this.message());
    const command = { type: "produce", queue: queue.queue, partition, version: queue.version, messages, ifFence: null } as const;
    const shard = shardNumberOf(queue.queue, partition, this.shards);
    const operation = this.history.begin(client.name, shard, { queue: queue.queue, partition }, command, client.world.clock.now());
    operation.inOrder = true;
    const lanes = this.to(shard);
    lanes.submit(operation, prng.chance(0.2) ? 300 + prng.below(700) : 4_000 + prng.below(4_000), this.groupOffset ?? 0);
    return lanes;
  }

  private message(): NewMessage {
    this.serial += 1;
    const body = encodeUtf8(`${this.client.name}-${this.serial}:${"x".repeat(20)}`);
    return { key: this.client.prng.pick(keys), body, headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
  }

  private to(shard: number): OrderedLanes {
    let lanes = this.lanes.get(shard);
    if (lanes === undefined) {
      lanes = new OrderedLanes(
        this.client,
        () => this.machine !== null,
        (caller, frame) => this.send(shard, caller, frame),
      );
      this.lanes.set(shard, lanes);
    }
    return lanes;
  }

  private send(shard: number, caller: string, frame: Uint8Array): void {
    const { client, machine, connection, routed } = this;
    if (machine === null) return;
    client.call(
      machine,
      (api) => this.arrived(api, machine, routed, shard, caller, frame),
      () => this.lost(connection),
    );
  }

  /** In the node. */
  private arrived(api: NodeApi, machine: Machine, routed: Set<string>, shard: number, caller: string, frame: Uint8Array): void {
    const { client } = this;
    const lanes = this.to(shard);
    const refused = (firstSequence: number, code: string, retryAfterMs: number): void => {
      client.world.totals.add(`ordered refused: ${code}`);
      client.arrive(machine, () => lanes.refused(caller, firstSequence, retryAfterMs));
    };
    if (!routed.has(`${shard}/${caller}`)) {
      routed.add(`${shard}/${caller}`);
      api.shards.route(shard, caller, {
        answer: (sequence, bytes) => {
          const copy = bytes.slice();
          client.arrive(machine, () => lanes.answered(caller, sequence, copy));
        },
        flush: () => undefined,
        refused: (firstSequence, _count, { code, retryAfterMs }) => refused(firstSequence, code, retryAfterMs),
      });
    }
    const refusal = api.shards.submitFrame(shard, frame);
    if (refusal !== null) refused(lanes.firstSequenceOf(frame), refusal.code, refusal.retryAfterMs);
  }

  private connect(): void {
    const { client } = this;
    this.connection += 1;
    const { connection } = this;
    const machine = client.prng.pick(client.world.machines);
    this.machine = null;
    client.call(
      machine,
      (api) => {
        const groupTime = api.groupTime();
        const { running } = machine;
        client.arrive(machine, () => {
          if (connection !== this.connection) return;
          this.machine = machine;
          this.running = running;
          this.routed = new Set();
          this.groupOffset = groupTime - client.localNow();
          for (const lanes of this.lanes.values()) lanes.reconnected();
        });
      },
      () => undefined,
    );
  }

  private lost(connection: number): void {
    if (connection === this.connection) this.machine = null;
  }

  private poll(): void {
    const { client } = this;
    client.after(pollMs + client.prng.below(pollMs), () => {
      const isGone = this.machine === null || this.machine.running !== this.running;
      const isSilent = [...this.lanes.values()].some((lanes) => lanes.silentFor > impatienceMs);
      if (isGone || (isSilent && client.prng.chance(0.4))) this.connect();
      for (const lanes of this.lanes.values()) lanes.tick();
      this.poll();
    });
  }
}
