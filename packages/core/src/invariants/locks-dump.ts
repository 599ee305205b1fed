import type { Lock } from "../locks/lock.ts";
import type { SystemState } from "../system/system-state.ts";
import { lockView, sessionView } from "../system/views.ts";

/**
 * Everything a state consists of, as sorted lines: two states are equal exactly when their lines are. For tests, and to see what two
 * replicas differ in when their hashes do (rule W7).
 */
export function describeSystem(state: SystemState): string[] {
  const { lockState, sessionTable, dedupe, ledger, namespaceRegistry, registry, queueRegistry } = state;
  const { lastFence, lastWait, lastDelay, lastAnonymous } = lockState;
  const { lastSession } = sessionTable;
  const lines = [
    text("counters", { lastFence, lastWait, lastDelay, lastAnonymous, lastSession, groupTime: ledger.groupTime }),
    text("limits", ledger.limits),
    text("resolutions", lockState.resolutions),
    text("queues", { lastQueue: queueRegistry.lastQueue, lastVersion: queueRegistry.lastVersion }),
    text("placement", state.placement()),
  ];
  for (const view of queueRegistry.values()) lines.push(text("queue", view));
  for (const view of namespaceRegistry.defined()) lines.push(text("namespace", view));
  for (const node of registry.nodes.values()) lines.push(text("node", node));
  for (const audited of state.auditedNodes()) lines.push(text("audited", audited));
  for (const account of sessionTable.sessions.values()) lines.push(text("session", sessionView(account)));
  for (const lock of lockState.table.values()) lines.push(text("lock", { ...lockView(lock.name, lock), delays: delaysOf(lock) }));
  for (const { name, of, owner, session, mode, fence, depth, anonymous, ttlMs, since } of lockState.packed.all()) {
    const principal = sessionTable.sessions.get(session)?.principal ?? "";
    const holders = [{ owner, principal, session, mode, fence, depth, anonymous, ttlMs, since }];
    lines.push(text("lock", { name, status: "held", of, holders, waiters: [], delays: [] }));
  }
  for (const wait of lockState.waits.values()) {
    const { id, owner, ttlMs, reentrant, anonymous, upgrade, account } = wait;
    const tickets = wait.tickets.map(({ lock, mode, coveredBy }) => [lock.name, mode, coveredBy?.fence ?? 0]);
    const { session, principal } = account;
    lines.push(text("wait", { id, session, principal, owner, ttlMs, reentrant, anonymous, upgrade: upgrade?.fence ?? 0, tickets }));
  }
  for (const record of dedupe.records()) {
    const { caller, fingerprint, ackedUpTo, notAfter } = record;
    lines.push(text("caller", { caller, fingerprint, ackedUpTo, notAfter, kept: record.kept() }));
  }
  return lines.sort();
}

function delaysOf(lock: Lock): unknown[] {
  const delays: [number, string, number][] = [];
  for (let delay = lock.firstDelay; delay !== null; delay = delay.next) delays.push([delay.id, delay.mode, delay.ms]);
  return delays.sort((a, b) => a[0] - b[0]);
}

function text(kind: string, value: unknown): string {
  return `${kind} ${JSON.stringify(value)}`;
}
