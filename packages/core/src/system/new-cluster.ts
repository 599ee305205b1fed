import { mutant } from "#mutation";
import type { Result } from "@trivet/wire";
import { counterBase, type Takeover } from "../kernel/counter-base.ts";
import { CallerRecord, type Slot } from "../sessions/caller-record.ts";
import { SystemState } from "./system-state.ts";
import type { NamespaceView, NodeView, PlacementView } from "./view.ts";

/** The cluster that takes over the state of another. */
export interface NewCluster extends Takeover {
  readonly nodes: readonly NodeView[];
  /** Null where the former one had placed no shards. */
  readonly placement: PlacementView | null;
}

/**
 * The state of group 0 for a new cluster (rule W9): definitions and answers stay, everything that lived by a lease is over, and no number that
 * the former cluster gave to anything is given again. Its last index is the base of its counters.
 */
export function renewSystem(former: SystemState, { nodes, placement, ...times }: NewCluster): SystemState {
  const base = counterBase(highest(former), times);
  const state = new SystemState(former.ledger.limits);
  state.appliedIndex = base;
  // A later backup of this cluster must not look older than the moment at which its counters began.
  state.ledger.groupTime = Math.max(former.ledger.groupTime, Math.ceil(times.nowMs));
  state.raiseCounters({
    fence: mutant("system-renewal-fences-go-on") ? former.lockState.lastFence : base,
    session: base,
    wait: base,
    delay: base,
    anonymous: base,
  });
  state.queueRegistry.lastQueue = mutant("system-renewal-queue-numbers-go-on") ? former.queueRegistry.lastQueue : base;
  state.queueRegistry.lastVersion = base;
  // A version that the former cluster gave a definition later must not be taken for a newer one here.
  for (const view of byNumber(former.queueRegistry.values(), ({ queue }) => queue)) {
    state.queueRegistry.insert({ ...view, definition: { ...view.definition, version: ++state.queueRegistry.lastVersion } });
  }
  restoreNamespaces(state, former, base);
  for (const node of nodes) state.registry.nodes.set(node.node, node);
  takeOverAnchors(state, former);
  if (placement !== null) state.placementRecord.restore(placement);
  if (former.features.told !== null) state.features.restore(former.features.told);
  for (const record of former.dedupe.records()) state.dedupe.restore(copyOf(record));
  return state;
}

/** The highest number that the state has given to anything. */
function highest({ appliedIndex, lockState, namespaceRegistry, queueRegistry, sessionTable }: SystemState): number {
  const { lastAnonymous, lastDelay, lastFence, lastWait } = lockState;
  const definitions = [queueRegistry.lastQueue, queueRegistry.lastVersion, namespaceRegistry.lastNamespace, namespaceRegistry.lastVersion];
  return Math.max(appliedIndex, lastFence, lastWait, lastDelay, lastAnonymous, sessionTable.lastSession, ...definitions);
}

function restoreNamespaces(state: SystemState, former: SystemState, base: number): void {
  const { namespaces } = former.namespaceRegistry.page("", "", Number.POSITIVE_INFINITY);
  let version = base;
  const renewed = byNumber(namespaces, ({ namespace }) => namespace).map((view): NamespaceView => ({ ...view, version: ++version }));
  state.namespaceRegistry.restore(base, version, renewed);
}

/** The nodes' audit logs go on; a restore of what was before must not make forgotten what they had written. */
function takeOverAnchors(state: SystemState, { auditAnchors }: SystemState): void {
  if (mutant("system-renewal-anchors-dropped")) return;
  for (const view of auditAnchors.all()) state.auditAnchors.insert(view);
  state.auditAnchors.trim();
}

/** What was answered stays answered (rule X1), but for what the end of all leases has made untrue. */
function copyOf(record: CallerRecord): CallerRecord {
  const copy = new CallerRecord(record.caller, record.fingerprint, record.notAfter, 0);
  copy.ackedUpTo = record.ackedUpTo;
  for (const [sequence, slot] of record.kept()) copy.set(sequence, endedSlot(slot));
  return copy;
}

/** A grant of before is none here, whoever asks for it again; who waited is not waiting any more. */
function endedSlot(slot: Slot): Result {
  if (typeof slot === "number") return { type: "cancelled" };
  if (mutant("system-renewal-grants-told-again")) return slot;
  if (slot.type === "session-opened") return { type: "session-lost", session: slot.session };
  return slot.type === "granted" ? { type: "cancelled" } : slot;
}

/** Versions are given in an order that every replica has. */
function byNumber<T>(views: Iterable<T>, numberOf: (view: T) => number): T[] {
  return [...views].sort((a, b) => numberOf(a) - numberOf(b));
}
