import { encodeUtf8 } from "@trivet/wire";

import type { Machine } from "../world/machine.ts";
import type { LockHistory } from "./lock-history.ts";
import { QueueCaller } from "./queue-caller.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import { StreamCaller } from "./stream-caller.ts";
import type { VirtualClient } from "./virtual-client.ts";

/** Nobody else takes these, so that each has one holder at a time. */
const locks = ["fenced-1", "fenced-2", "fenced-3"] as const;
const cacheTimeoutMs = 2_000;

/**
 * Takes locks and writes under their fences (rule K5), to queues and to the cache, through any node. Sometimes it keeps a lock until its lease is over, and
 * writes on all the same, as a program does that was paused. The judgement is the watcher's.
 */
export class FencedClient {
  private readonly client: VirtualClient;
  private readonly stream: StreamCaller;
  private readonly caller: QueueCaller;
  private readonly queues: readonly SimQueue[];
  private readonly mayStart: () => boolean;
  private budget: number;
  private serial = 0;
  private writing = 0;

  constructor(
    client: VirtualClient,
    histories: { readonly locks: LockHistory; readonly queues: QueueHistory },
    queues: readonly SimQueue[],
    shards: number,
    budget: number,
    mayStart: () => boolean,
  ) {
    this.client = client;
    this.queues = queues;
    this.budget = budget;
    this.mayStart = mayStart;
    this.stream = new StreamCaller(client, histories.locks, `${client.name}-lane`);
    this.caller = new QueueCaller(client, histories.queues, shards);
    client.after(2_500 + client.prng.below(1_500), () => this.round());
  }

  get settled(): boolean {
    return !this.client.alive || (this.stream.openCount() === 0 && this.caller.idle && this.writing === 0);
  }

  private soon(ms: number): void {
    this.client.after(ms + this.client.prng.below(1_500), () => this.round());
  }

  private round(): void {
    const { client } = this;
    const { prng } = client;
    if (!this.mayStart() || this.budget <= 0) return;
    this.budget -= 1;
    const name = prng.pick(locks);
    const actor = { session: 0, principal: client.name, owner: `${client.name}/round-${this.budget}` };
    const waitMs = prng.chance(0.3) ? 0 : 500 + prng.below(3_000);
    const ttlMs = 1_000 + prng.below(5_000);
    const keys = [{ name, mode: "exclusive", of: 0 }] as const;
    this.stream.submit({ type: "acquire", actor, keys, ttlMs, waitMs, reentrant: false, anonymous: false }, waitMs, (result) => {
      if (result?.type !== "granted") return this.soon(100);
      const { fence } = result;
      const release = (then: () => void): void =>
        void this.stream.submit({ type: "release", actor, name, fence, anonymous: false }, 0, then);
      // Some let it expire.
      const isLetGo = prng.chance(0.7);
      this.writes({ lock: name, fence }, 1 + prng.below(4), () => {
        this.late({ lock: name, fence }, isLetGo ? 0 : ttlMs);
        if (isLetGo) release(() => this.soon(100));
        else this.soon(100);
      });
    });
  }

  /** Now and then once more, beside what it does meanwhile: when others have held the lock, and what shards remember of it has gone. */
  private late(fence: Fence, ms: number): void {
    const { prng } = this.client;
    if (prng.chance(0.5)) this.client.after(ms + prng.below(prng.chance(0.5) ? 4_000 : 20_000), () => this.writes(fence, 1, () => {}));
  }

  private writes(fence: Fence, count: number, then: () => void): void {
    const { client } = this;
    const { prng } = client;
    if (count === 0 || !this.mayStart()) return then();
    const next = (): void => void client.after(prng.below(500), () => this.writes(fence, count - 1, then));
    const known = this.queues.filter(({ queue }) => queue > 0);
    if (known.length === 0 || prng.chance(0.4)) this.put(fence, next);
    else this.produce(fence, prng.pick(known), next);
  }

  private produce(ifFence: Fence, { queue, ...of }: SimQueue, then: () => void): void {
    const { prng } = this.client;
    const place = { queue, partition: prng.below(partitionsOf({ queue, ...of })) };
    if (prng.chance(0.25)) return this.caller.send(place, { type: "raise-fence", ...ifFence }, true, null, then);
    this.serial += 1;
    const body = encodeUtf8(`${this.client.name}-${this.serial}:`);
    const message = { key: "", body, headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
    this.caller.send(place, { type: "produce", ...place, version: of.version, messages: [message], ifFence }, true, null, then);
  }

  /** Keys that no other client has: who reads them is judged nowhere. */
  private put(ifFence: Fence, then: () => void): void {
    const { client } = this;
    const machine: Machine = client.prng.pick(client.world.machines);
    const value = encodeUtf8(`${ifFence.fence}`);
    const options = { tags: [], ttlMs: 0, condition: { type: "always" }, token: null, ifFence } as const;
    let isOver = false;
    const over = (outcome: string): void => {
      if (isOver) return;
      isOver = true;
      this.writing -= 1;
      client.world.totals.add(`fenced cache writes: ${outcome}`);
      then();
    };
    this.writing += 1;
    client.callProgram(
      machine,
      ({ cache }) =>
        cache.put(
          { namespace: "default", key: `fenced-${client.prng.below(6)}`, value, ...options },
          { timeoutMs: cacheTimeoutMs },
          ({ type }) => client.arrive(machine, () => over(type)),
        ),
      () => over("refused"),
    );
    client.after(cacheTimeoutMs + 1_000, () => over("unanswered"));
  }
}

interface Fence {
  readonly lock: string;
  readonly fence: number;
}
