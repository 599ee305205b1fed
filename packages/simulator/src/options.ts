import { Prng } from "@trivet/core";

import type { FaultAction, FaultKind } from "./faults/kinds.ts";

/**
 * Everything that decides a run. The same options give the same run, byte for byte; a seed file is exactly this (docs/verification.md).
 */
export interface RunOptions {
  readonly seed: number;
  /** Founding members. */
  readonly nodes: number;
  /** Machines that are not members at first. */
  readonly spares: number;
  readonly clients: number;
  readonly operationsPerClient: number;
  /** Shards of queues; 0 = a world without, as all were before there were any. */
  readonly shards: number;
  /** Clients that produce and consume, where there are shards. */
  readonly queueClients: number;
  /** Programs that produce over streams without waiting for answers, where there are shards; 0 = as it was before they kept their order. */
  readonly streamProducers: number;
  /** Clients that read and write cached values, where there are shards; 0 = as it was before there was a cache. */
  readonly cacheClients: number;
  /** Clients of a namespace that is written behind, where there are shards; 0 = as it was before there was one. */
  readonly behindClients: number;
  /** Programs with copies of their own beside them. */
  readonly nearClients: number;
  /** Clients that write under the fences of locks they hold, where there are shards; 0 = as it was before there were any. */
  readonly fencedClients: number;
  /** Shards move away from nodes that are silent for so long, where there are shards; 0 = after a minute, which no run lasts. */
  readonly deadNodesMoveMs: number;
  /** A log of group 0 that rests becomes a snapshot from so many bytes on; 0 = as in production, which no run's log comes to. */
  readonly snapshotAtRestBytes: number;
  /** Length of the safety phase in virtual milliseconds. */
  readonly durationMs: number;
  /** Kinds that the plan made from the seed may use; null = a random subset (swarm). */
  readonly kinds: readonly FaultKind[] | null;
  /** That subset may have kinds which came after the first seeds were recorded. */
  readonly laterKinds: boolean;
  /** Apply workers do as a node's: a state's hash has to be asked for, and nothing is compared within a store. */
  readonly asInProduction: boolean;
  /** An explicit plan in place of the one made from the seed: what shrinking leaves. */
  readonly plan: readonly FaultAction[] | null;
  /** Named bugs to switch on (simulator build only). */
  readonly mutants: readonly string[];
}

export const defaultOptions = (seed: number): RunOptions => {
  const shards = shardsOf(seed);
  return {
    seed,
    nodes: seed % 4 === 3 ? 5 : 3,
    spares: 1,
    clients: shards === 0 ? 6 : 3,
    operationsPerClient: 70,
    shards,
    queueClients: 6,
    streamProducers: shards === 0 ? 0 : streamProducersOf(seed),
    cacheClients: shards === 0 ? 0 : cacheClientsOf(seed),
    behindClients: shards === 0 ? 0 : behindClientsOf(seed),
    nearClients: shards === 0 ? 0 : nearClientsOf(seed),
    fencedClients: shards === 0 ? 0 : fencedClientsOf(seed),
    deadNodesMoveMs: shards === 0 ? 0 : deadNodesMoveMsOf(seed),
    snapshotAtRestBytes: snapshotAtRestBytesOf(seed),
    durationMs: 60_000,
    kinds: null,
    laterKinds: true,
    asInProduction: shards > 0 && isAsInProduction(seed),
    plan: null,
    mutants: [],
  };
};

/** Options as they were recorded: what came since is as it was before, and there were no shards unless it says so. */
export function recordedOptions(seed: number, stored: Partial<RunOptions>): RunOptions {
  const clients = stored.shards === undefined ? { clients: 6 } : {};
  return {
    ...defaultOptions(seed),
    shards: 0,
    streamProducers: 0,
    cacheClients: 0,
    behindClients: 0,
    nearClients: 0,
    fencedClients: 0,
    deadNodesMoveMs: 0,
    snapshotAtRestBytes: 0,
    laterKinds: false,
    asInProduction: false,
    ...clients,
    ...stored,
  };
}

/** Not drawn from the world's generator, so that seeds without shards run as they ran before there were any. */
function shardsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 2_654_435) + 17);
  return prng.chance(0.5) ? prng.pick([2, 3, 4]) : 0;
}

/** Nor is this. */
function streamProducersOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 6_291_469) + 71);
  return prng.chance(0.7) ? prng.pick([1, 2]) : 0;
}

/** Nor is this. */
function cacheClientsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 5_915_587) + 43);
  return prng.chance(0.6) ? prng.pick([3, 5]) : 0;
}

/** Nor is this; none where nobody else caches. */
function nearClientsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 8_675_309) + 61);
  return cacheClientsOf(seed) > 0 && prng.chance(0.6) ? prng.pick([2, 3]) : 0;
}

/** Nor is this. */
function behindClientsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 3_999_971) + 53);
  return prng.chance(0.5) ? prng.pick([2, 4]) : 0;
}

/** Nor is this. */
function fencedClientsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 6_700_417) + 67);
  return prng.chance(0.6) ? prng.pick([2, 3]) : 0;
}

/** Nor is this. */
function deadNodesMoveMsOf(seed: number): number {
  const prng = new Prng(Math.imul(seed, 4_256_233) + 83);
  return prng.chance(0.6) ? prng.pick([1_000, 3_000]) : 0;
}

/** Nor is this. */
function snapshotAtRestBytesOf(seed: number): number {
  return new Prng(Math.imul(seed, 5_261_107) + 97).pick([500, 5_000, 1_000_000]);
}

/** Nor is this. */
function isAsInProduction(seed: number): boolean {
  return new Prng(Math.imul(seed, 7_654_321) + 29).chance(0.4);
}
