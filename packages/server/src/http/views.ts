import type { HoldView, LockView, SystemView, WaitEdge } from "@trivet/core";
import { httpLimits } from "@trivet/contract";
import type { HttpContext } from "./context.ts";
import { cycleJson, decimal, holderJson, sessionOf, type HolderJson } from "./outcomes.ts";

/** Ages are shown to people; group time stands still while nothing is written, so the wall clock measures them (never below 0). */
const age = (context: HttpContext, since: number): number => Math.max(0, Math.round(context.wallNow() - since));

export const holdJson = (context: HttpContext, hold: HoldView): HolderJson & Readonly<Record<string, unknown>> => ({
  ...holderJson(context, hold),
  depth: hold.depth,
  anonymous: hold.anonymous,
  ttl_ms: hold.session === 0 ? hold.ttlMs : null,
  held_ms: age(context, hold.since),
});

type LockJson = { readonly holders: readonly HolderJson[] } & Readonly<Record<string, unknown>>;

export function lockJson(context: HttpContext, lock: LockView): LockJson {
  return {
    name: lock.name,
    status: lock.status,
    ...(lock.of === 0 ? {} : { of: lock.of }),
    holders: lock.holders.map((hold) => holdJson(context, hold)),
    waiters: lock.waiters.map((wait, index) => ({
      position: index + 1,
      owner: wait.owner,
      session_id: sessionOf(wait.session),
      mode: wait.mode,
      wait_ms: wait.waitMs,
      waiting_ms: age(context, wait.since),
    })),
  };
}

/** S0's shape, with what the canonical one has beside it. */
export function s0LockJson(context: HttpContext, lock: LockView, leader: string | null): LockJson {
  const first = lock.holders[0];
  return {
    lock_name: lock.name,
    status: lock.status,
    type: first?.mode ?? null,
    owners: lock.holders.map((hold) => hold.owner),
    waiters: lock.waiters.map((wait) => wait.owner),
    holders: lock.holders.map((hold) => holderJson(context, hold)),
    fencing_token: first === undefined ? null : decimal(first.fence),
    leader,
  };
}

/** Owners that wait for each other. Always empty when apply does its duty: a cycle is broken in the entry that would close it. */
export function cyclesOf(edges: readonly WaitEdge[]): string[][] {
  const graph = new Map<string, Set<string>>();
  for (const edge of edges) graph.set(edge.waiter, (graph.get(edge.waiter) ?? new Set()).add(edge.holder));
  const cycles: string[][] = [];
  const done = new Set<string>();
  for (const start of graph.keys()) {
    if (done.has(start)) continue;
    const path: string[] = [];
    const onPath = new Set<string>();
    const stack: { readonly node: string; readonly next: Iterator<string> }[] = [];
    const enter = (node: string): void => {
      path.push(node);
      onPath.add(node);
      stack.push({ node, next: (graph.get(node) ?? new Set<string>()).values() });
    };
    enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const step = top.next.next();
      if (step.done === true) {
        stack.pop();
        path.pop();
        onPath.delete(top.node);
        done.add(top.node);
      } else if (onPath.has(step.value)) {
        cycles.push(path.slice(path.indexOf(step.value)));
      } else if (!done.has(step.value)) {
        enter(step.value);
      }
    }
  }
  return cycles;
}

export const victimPolicy = "the youngest waiter of the cycle; holders keep their locks";

export function graphJson(
  context: HttpContext,
  view: SystemView,
): { readonly edges: readonly WaitEdge[]; readonly json: Readonly<Record<string, unknown>> } {
  const edges = view.waitEdges(httpLimits.maxGraphEdges);
  return {
    edges,
    json: {
      edges: edges.map((edge) => ({
        waiter: edge.waiter,
        holder: edge.holder,
        name: edge.name,
        mode: edge.mode,
        kind: edge.kind,
        waiting_ms: age(context, edge.since),
      })),
      cycles: cyclesOf(edges),
      last_resolutions: view.lastResolutions().map((resolution) => ({
        at_ms: resolution.at,
        victim: resolution.victim,
        name: resolution.name,
        cycle: resolution.cycle.map(cycleJson),
      })),
      victim_policy: victimPolicy,
      truncated: edges.length >= httpLimits.maxGraphEdges,
    },
  };
}
