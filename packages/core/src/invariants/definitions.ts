import { invariant } from "../kernel/assert.ts";
import { auditDigest, auditFault } from "../system/audit-anchors.ts";
import { auditLimits } from "../system/limits.ts";
import { compareNames } from "../system/names.ts";
import { queueDigest } from "../system/queue-registry.ts";
import type { SystemState } from "../system/system-state.ts";

/** Every queue is found by its name and by its number, once, in order; numbers and versions are such as were given. */
export function queuesAreIndexed(state: SystemState): void {
  const { queueRegistry } = state;
  const versions = new Set<number>();
  let low = 0;
  for (const view of queueRegistry.values()) {
    const { queue, definition } = view;
    versions.add(definition.version);
    low = (low + queueDigest(view)) | 0;
    invariant(state.queue(definition.name) === view && state.queueByNumber(queue) === view, "queues-indexed", definition.name);
    invariant(queue >= 1 && queue <= queueRegistry.lastQueue, "queues-counted", () => `${queue} of ${queueRegistry.lastQueue}`);
    invariant(definition.version <= queueRegistry.lastVersion, "queue-versions-counted", definition.name);
  }
  invariant(versions.size === queueRegistry.size, "queue-versions-unique");
  invariant(low === queueRegistry.digest.low, "queue-hash-current");
  const listed = state.queues("", "", queueRegistry.size + 1).queues.map((view) => view.definition.name);
  invariant(listed.length === queueRegistry.size, "queues-listed", () => `${listed.length} of ${queueRegistry.size}`);
  for (const [i, name] of listed.entries()) {
    if (i > 0) invariant(compareNames(listed[i - 1] ?? "", name) < 0, "queues-in-order", name);
  }
}

/** Every shard has founders and a place, with no node twice (D4). */
export function placementIsWhole(state: SystemState): void {
  const placement = state.placement();
  if (placement === null) return;
  const { shards, founders } = placement;
  invariant(shards.length > 0 && founders.length === shards.length, "placement-founded", () => `${founders.length} of ${shards.length}`);
  for (const nodes of shards) invariant(nodes.length > 0 && new Set(nodes).size === nodes.length, "placement-nodes", () => nodes.join());
  for (const founded of founders) invariant(founded.length > 0 && founded.every(({ storage }) => storage !== ""), "placement-disks");
}

/** The anchors of each chain rise, and there is no more of them than is kept. */
export function anchorsRise(state: SystemState): void {
  const { auditAnchors, registry } = state;
  let low = 0;
  for (const view of auditAnchors.nodes.values()) {
    const fault = auditFault(view);
    invariant(fault === null, "audit-anchors-rise", () => fault ?? "");
    low = (low + auditDigest(view)) | 0;
  }
  invariant(low === auditAnchors.digest.low, "audit-hash-current");
  const gone = [...auditAnchors.nodes.keys()].filter((node) => !registry.nodes.has(node)).length;
  invariant(gone <= auditLimits.keptRemovedNodes, "audit-anchors-bounded", () => `anchors of ${gone} removed nodes`);
}
