import { mutant } from "#mutation";
import type { CycleStep } from "@trivet/wire";
import { listedCycleSteps } from "../system/limits.ts";
import type { GraphEdge } from "./wait-graph.ts";
import type { Wait } from "./wait.ts";

export type SearchOutcome =
  | { readonly type: "none" }
  /** The replicated bound on the search was hit: nobody knows. */
  | { readonly type: "bound" }
  | { readonly type: "deadlock"; readonly victim: Wait; readonly cycle: readonly CycleStep[] };

/** One step of a cycle: the wait and the edge that leads on from it. */
export interface PathStep {
  readonly wait: Wait;
  readonly edge: GraphEdge;
}

/** The youngest wait of the cycle is the victim: a waiter, never a holder (W-35). The cycle is told beginning with it. */
export function verdict(path: readonly PathStep[]): SearchOutcome {
  let place = 0;
  path.forEach((step, i) => {
    const best = path[place] as PathStep;
    if (mutant("lock-deadlock-oldest-victim") ? step.wait.id < best.wait.id : step.wait.id > best.wait.id) place = i;
  });
  const turned = [...path.slice(place), ...path.slice(0, place)];
  return { type: "deadlock", victim: (turned[0] as PathStep).wait, cycle: stepsOf(turned) };
}

export function stepsOf(path: readonly PathStep[]): CycleStep[] {
  const steps: CycleStep[] = [];
  for (const { wait, edge } of path.slice(0, listedCycleSteps)) {
    const { ticket } = edge;
    if (ticket !== null) steps.push({ owner: wait.owner, waitsFor: ticket.lock.name, mode: ticket.mode, heldBy: edge.heldBy });
  }
  return steps;
}
