import type { CacheFailure, Verified } from "@trivet/engine";

import type { Violation } from "../checkers/history.ts";
import { checkPerKey } from "../checkers/linearizability.ts";
import { cachedValueModel } from "../checkers/models/cached-value.ts";
import type { Machine } from "../world/machine.ts";
import type { World } from "../world/world.ts";
import { CacheClient } from "./cache-client.ts";
import { noteEnds } from "./cache-ends.ts";
import { CacheHistory } from "./cache-history.ts";
import { hasFilledValues } from "./filled-values.ts";
import { NearClient } from "./near-client.ts";
import { VirtualClient } from "./virtual-client.ts";
import type { Workload } from "./workload.ts";

const verifyEveryMs = 500;
const verifyTimeoutMs = 5_000;
const defineEveryMs = 1_000;
/** A program that was killed starts again after so long, under another name; so many of them at most. */
const restartMs = 500;
const mostNearPrograms = 12;

/** By its own account: one that was removed, or is not in yet, knows nothing of the others. */
function isMember({ name, running }: Machine): boolean {
  return running?.program.group()?.raft.membership.voters.some((voter) => voter === name) === true;
}

/** Clients that read and write cached values through any node, judged key by key as one register each. */
export class CacheWorkload implements Workload {
  readonly name = "cache";
  readonly history: CacheHistory = new CacheHistory();
  private readonly world: World;
  private readonly clients: VirtualClient[] = [];
  private readonly flows: (CacheClient | NearClient)[] = [];
  /** Clients that are programs with copies of their own. */
  private readonly near = new Set<VirtualClient>();
  private asking = true;
  private isCompressed = false;
  private verified: Verified | null = null;
  /** Each through another machine: one may be no member any more. */
  private verifications = 0;
  private verifier: VirtualClient | null = null;

  constructor(world: World) {
    this.world = world;
  }

  start(): void {
    const { world } = this;
    const { cacheClients, operationsPerClient, seed } = world.options;
    this.verifier = this.client("cache-verify", seed, 0);
    for (let i = 0; i < cacheClients; i += 1) {
      const client = this.client(`c${"x".repeat(i)}`, seed, i + 1);
      this.clients.push(client);
      world.clients.push(client.name);
      this.flows.push(new CacheClient(client, this.history, operationsPerClient, i % 2 === 0, () => this.asking));
    }
    for (let i = 0; i < world.options.nearClients; i += 1) this.startNear();
    if (hasFilledValues(world)) this.compress(this.client("cache-owner", seed, 900), 0);
  }

  /** Through one node after another, until one has done it. */
  private compress(owner: VirtualClient, tries: number): void {
    if (this.isCompressed || !this.asking) return;
    const members = this.world.machines.filter(({ spare }) => !spare);
    const machine = members[tries % members.length];
    if (machine === undefined) return;
    const told = (outcome: { readonly type: string }): void =>
      owner.arrive(machine, () => {
        this.isCompressed ||= outcome.type === "defined";
      });
    owner.callProgram(
      machine,
      ({ cache }) => cache.defineNamespace("default", { compressOver: 1 }, "ensure", { timeoutMs: 2_000 }, told),
      () => {},
    );
    owner.after(defineEveryMs, () => this.compress(owner, tries + 1));
  }

  private startNear(): void {
    const { world } = this;
    const { operationsPerClient, seed } = world.options;
    const number = this.near.size + 1;
    const client = this.client(`near${number}`, seed, 500 + number);
    this.near.add(client);
    this.clients.push(client);
    world.clients.push(client.name);
    this.flows.push(new NearClient(client, this.history, operationsPerClient, number % 2 === 0, () => this.asking));
  }

  wind(): void {
    this.asking = false;
    this.verify();
  }

  /** The cache's own judgement, once everybody is there again. */
  private verify(): void {
    const { verifier, world } = this;
    if (verifier === null) return;
    const members = world.machines.filter(isMember);
    const machine = members[this.verifications++ % Math.max(1, members.length)];
    verifier.after(verifyEveryMs, () => {
      if (this.verified === null) this.verify();
    });
    if (machine === undefined) return;
    const told = (outcome: Verified | CacheFailure): void =>
      verifier.arrive(machine, () => {
        if (outcome.type === "verified" && outcome.silent.length === 0) this.verified = outcome;
      });
    verifier.callProgram(
      machine,
      ({ cache }) => cache.verify(verifyTimeoutMs, told),
      () => {},
    );
  }

  issued(): number {
    return this.history.operations.length;
  }

  answered(): number {
    return this.history.operations.filter(({ ret }) => ret !== null).length;
  }

  settled(): boolean {
    return this.flows.every(({ settled }, at) => settled || this.clients[at]?.alive === false) && this.verified !== null;
  }

  open(): readonly string[] {
    const waiting = this.history.operations.filter(({ abandoned, refused, ret }) => ret === null && !refused && !abandoned);
    return [
      ...waiting.map(({ call, id }) => `${id} since ${call.toFixed(0)}`),
      ...(this.verified === null ? ["the cache is not verified"] : []),
    ];
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
    if (!this.near.has(chosen) || this.near.size >= mostNearPrograms) return;
    this.world.clock.schedule(restartMs, () => {
      if (this.asking) this.startNear();
    });
  }

  check(): Violation | null {
    const { totals } = this.world;
    totals.add("cache operations", this.issued());
    totals.add("cache operations answered", this.answered());
    noteEnds(this.world, this.history);
    const [first] = this.verified?.violations ?? [];
    if (first !== undefined) return { invariant: `cache-${first.invariant}`, detail: `key ${first.key}: ${first.detail}` };
    const found = checkPerKey(cachedValueModel, this.history.observed(), ({ key }) => key);
    return found === null ? null : { ...found, invariant: `cache-${found.invariant}` };
  }

  private client(name: string, seed: number, number: number): VirtualClient {
    return new VirtualClient(this.world, name, Math.imul(seed, 9_001) + 3_000 + number);
  }
}
