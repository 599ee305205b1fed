import { Prng } from "@trivet/core";

import type { RunOptions } from "../options.ts";
import { type FaultAction, type FaultKind, faultKinds, laterKinds, shardKinds, type Target } from "./kinds.ts";

interface KindShape {
  /** Mean pause between two faults of this kind. */
  readonly everyMs: number;
  readonly shortestMs: number;
  readonly longestMs: number;
  /** Chance that it strikes the leader rather than anyone. */
  readonly leader: number;
}

const shape = (everyMs: number, shortestMs: number, longestMs: number, leader: number): KindShape => ({
  everyMs,
  shortestMs,
  longestMs,
  leader,
});

const shapes: Readonly<Record<FaultKind, KindShape>> = {
  kill: shape(9_000, 50, 6_000, 0.5),
  "power-loss": shape(9_000, 50, 6_000, 0.5),
  pause: shape(8_000, 100, 6_000, 0.6),
  "restart-storm": shape(20_000, 500, 3_000, 0.3),
  wipe: shape(25_000, 100, 4_000, 0.2),
  "partition-halves": shape(9_000, 300, 7_000, 0.5),
  "partition-bridge": shape(12_000, 300, 7_000, 0.3),
  "partition-ring": shape(12_000, 300, 7_000, 0.3),
  "one-way": shape(9_000, 300, 7_000, 0.5),
  "no-new-links": shape(12_000, 500, 7_000, 0.5),
  flapping: shape(15_000, 1_000, 5_000, 0.4),
  clog: shape(9_000, 100, 3_000, 0.4),
  "slow-links": shape(15_000, 1_000, 8_000, 0.3),
  "packet-loss": shape(15_000, 1_000, 8_000, 0.3),
  "link-reset": shape(5_000, 0, 0, 0.5),
  "broken-transport": shape(20_000, 1_000, 10_000, 0.3),
  "disk-slow": shape(12_000, 500, 6_000, 0.5),
  "disk-stall": shape(12_000, 300, 5_000, 0.6),
  "disk-error": shape(25_000, 200, 3_000, 0.5),
  "disk-full": shape(25_000, 500, 5_000, 0.5),
  "bit-rot": shape(25_000, 100, 3_000, 0.3),
  "wall-clock-jump": shape(12_000, 0, 0, 0.5),
  "transfer-leadership": shape(7_000, 0, 0, 0.5),
  "change-members": shape(8_000, 0, 0, 0.3),
  "take-snapshot": shape(6_000, 0, 0, 0.5),
  "client-stall": shape(10_000, 300, 8_000, 0),
  "client-death": shape(12_000, 0, 0, 0),
  drain: shape(15_000, 3_000, 12_000, 0.3),
  "store-full": shape(8_000, 200, 6_000, 0.5),
};

/** Kinds that change who may be a member or whose bytes are lost: they use up the fault budget, so fewer seeds have them. */
const rare: ReadonlySet<FaultKind> = new Set(["wipe", "bit-rot", "broken-transport", "disk-full", "disk-error"]);

/** The swarm: this seed's subset of kinds. A few kinds at full strength find more than all of them thinly. */
export function swarm(seed: number): readonly FaultKind[] {
  const prng = new Prng(seed ^ 0x5eed);
  const density = prng.pick([0.15, 0.3, 0.5]);
  const always = faultKinds.filter((kind) => !shardKinds.has(kind));
  const chosen = always.filter((kind) => prng.chance(rare.has(kind) ? density / 2 : density));
  const some = chosen.length > 0 ? chosen : [prng.pick(always)];
  return [...some, ...[...shardKinds].filter(() => prng.chance(0.4))];
}

/** What goes wrong when, made from the seed. */
export function makePlan(options: RunOptions): readonly FaultAction[] {
  if (options.plan !== null) return options.plan;
  const chosen = options.kinds ?? swarm(options.seed).filter((kind) => options.laterKinds || !laterKinds.has(kind));
  const kinds = chosen.filter((kind) => options.shards > 0 || !shardKinds.has(kind));
  const actions: FaultAction[] = [];
  for (const kind of kinds) {
    // One generator per kind: leaving a kind out does not change the others, which keeps shrinking stable.
    const prng = new Prng(Math.imul(options.seed, 31) + faultKinds.indexOf(kind) + 1);
    const { everyMs, shortestMs, longestMs, leader } = shapes[kind];
    // The first seconds belong to founding and to the clients' first sessions.
    let at = 1_500;
    for (;;) {
      at += 200 - everyMs * Math.log(1 - prng.next());
      const target: Target = prng.chance(leader) ? "leader" : prng.below(1_000);
      const durationMs = Math.round(shortestMs + prng.next() ** 2 * (longestMs - shortestMs));
      const strength = prng.next();
      if (at >= options.durationMs - 1_000) break;
      actions.push({ atMs: Math.round(at), kind, target, durationMs, strength });
    }
  }
  return actions.sort((a, b) => a.atMs - b.atMs || faultKinds.indexOf(a.kind) - faultKinds.indexOf(b.kind));
}
