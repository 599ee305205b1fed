import { setTimeout as pause } from "node:timers/promises";
import type { Api } from "../api/http.ts";
import type { PlannedNode } from "./plan.ts";

const askEveryMs = 100;

/** What one node says about itself. */
export interface NodeHealth {
  readonly node: PlannedNode;
  readonly healthy: boolean;
  readonly leader: string | null;
  readonly term: number;
  /** Why it is not healthy, in its own words; "" when it is. */
  readonly problem: string;
}

export interface ClusterHealth {
  readonly nodes: readonly NodeHealth[];
  /** All nodes are healthy and name the same leader. */
  readonly ready: boolean;
  readonly leader: string | null;
  readonly term: number;
}

/** Asks every node once. */
export async function healthOf(api: Api, nodes: readonly PlannedNode[]): Promise<ClusterHealth> {
  const healths = await Promise.all(nodes.map((node) => askNode(api, node)));
  const term = Math.max(0, ...healths.map((health) => health.term));
  const leaders = new Set(healths.map((health) => health.leader));
  const [leader = null] = leaders;
  const ready = healths.every((health) => health.healthy) && leaders.size === 1 && leader !== null;
  return { nodes: healths, ready, leader: ready ? leader : (healths.find((health) => health.leader !== null)?.leader ?? null), term };
}

async function askNode(api: Api, node: PlannedNode): Promise<NodeHealth> {
  const answer = await api.ask(node.url, "/health");
  if ("problem" in answer) return { node, healthy: false, leader: null, term: 0, problem: answer.problem };
  const body = (typeof answer.body === "object" && answer.body !== null ? answer.body : {}) as Readonly<Record<string, unknown>>;
  // Another program, or a node of another cluster, may sit on this port.
  if (body["node_id"] !== node.id) {
    return { node, healthy: false, leader: null, term: 0, problem: `something else answers at ${node.url}` };
  }
  const leader = typeof body["leader"] === "string" ? body["leader"] : null;
  const term = typeof body["term"] === "number" ? body["term"] : 0;
  const detail = typeof body["detail"] === "string" ? body["detail"] : `answered ${answer.status}`;
  return { node, healthy: answer.status === 200, leader, term, problem: answer.status === 200 ? "" : detail };
}

/** Asks until the cluster is ready or the time is over; `onChange` sees every answer. */
export async function waitUntilReady(
  api: Api,
  nodes: readonly PlannedNode[],
  deadlineMs: number,
  signal: AbortSignal,
  onChange: (health: ClusterHealth, elapsedMs: number) => void,
): Promise<ClusterHealth> {
  const begun = performance.now();
  for (;;) {
    const health = await healthOf(api, nodes);
    const elapsed = performance.now() - begun;
    onChange(health, elapsed);
    if (health.ready || elapsed > deadlineMs || signal.aborted) return health;
    await pause(askEveryMs, undefined, { signal }).catch(() => undefined);
  }
}

/** What the source documents read first is stored by the nodes as soon as its shard has a leader. Asking so leaves no copy of it anywhere. */
const samplePath = "/v1/cache/item:123?explain=1";

/** Asks for the sample value until it is there, or the time is over: then the cluster is announced without it. */
export async function waitForSampleValue(api: Api, url: string, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
  const begun = performance.now();
  while (!signal.aborted) {
    const answer = await api.ask(url, samplePath);
    if (!("problem" in answer) && answer.status === 200 && (answer.body as { readonly version?: unknown }).version !== "0") return true;
    if (performance.now() - begun > deadlineMs) return false;
    await pause(askEveryMs, undefined, { signal }).catch(() => undefined);
  }
  return false;
}
