import { mutant } from "#mutation";
import type { LockState } from "./lock-state.ts";
import { reduce } from "./reduction.ts";
import { type PathStep, type SearchOutcome, verdict } from "./verdict.ts";
import type { Wait } from "./wait.ts";
import { type GraphEdge, type SearchBudget, edgesOfOwner, edgesOfWait, isCounted } from "./wait-graph.ts";

const none: SearchOutcome = { type: "none" };

/**
 * Searches for a deadlock that the owner of `node` (its oldest wait) is part of, or waits for (rule K3). Before every change the table
 * has none, and every edge that a change adds touches the owner that made it; so whatever a change closes can be reached from there.
 * Plain locks wait for all in their way, so a cycle proves a deadlock. A semaphore waits for any of its permits, so a cycle proves
 * nothing: when one is reachable, reduction decides.
 */
export function findDeadlock(locks: LockState, node: Wait): SearchOutcome {
  const budget: SearchBudget = { left: locks.ledger.limits.deadlockSearchEdges };
  const path = searchCycle(++locks.search, node, budget);
  if (budget.left < 0 && !mutant("lock-deadlock-bound-ignored")) return { type: "bound" };
  if (path === "counted" && !mutant("lock-deadlock-semaphore-by-cycle")) return reduce(node, budget);
  return path === null || path === "counted" ? none : verdict(path);
}

interface Visit {
  readonly wait: Wait;
  readonly asOwner: boolean;
  readonly edges: readonly GraphEdge[];
  next: number;
}

/** Depth-first, with a stack of its own: a line may be longer than the call stack. */
function searchCycle(search: number, start: Wait, budget: SearchBudget): PathStep[] | "counted" | null {
  const onPath = search * 2;
  const finished = onPath + 1;
  const stack: Visit[] = [];
  const push = (wait: Wait, asOwner: boolean): boolean => {
    if (!asOwner && isCounted(wait) && !mutant("lock-deadlock-semaphore-by-cycle")) return false;
    mark(wait, asOwner, onPath);
    stack.push({ wait, asOwner, edges: asOwner ? edgesOfOwner(wait, budget) : edgesOfWait(wait, budget), next: 0 });
    return true;
  };
  push(start, true);
  for (let visit = stack.at(-1); visit !== undefined; visit = stack.at(-1)) {
    if (budget.left < 0) return null;
    const edge = visit.edges[visit.next++];
    if (edge === undefined) {
      mark(visit.wait, visit.asOwner, finished);
      stack.pop();
      continue;
    }
    const seen = edge.asOwner ? edge.target.ownerMark : edge.target.waitMark;
    if (seen === onPath) return cycleOf(stack, edge);
    if (seen !== finished && !push(edge.target, edge.asOwner)) return "counted";
  }
  return null;
}

function mark(wait: Wait, asOwner: boolean, value: number): void {
  if (asOwner) wait.ownerMark = value;
  else wait.waitMark = value;
}

/** The part of the stack from the node that `closing` leads back to. */
function cycleOf(stack: readonly Visit[], closing: GraphEdge): PathStep[] {
  const from = stack.findIndex((visit) => visit.wait === closing.target && visit.asOwner === closing.asOwner);
  const steps: PathStep[] = [];
  for (const visit of stack.slice(from)) {
    const edge = visit.edges[visit.next - 1];
    if (!visit.asOwner && edge !== undefined) steps.push({ wait: visit.wait, edge });
  }
  return steps;
}
