import type { Violation } from "./history.ts";

/** Something a client waits for. */
export interface OpenWait {
  readonly id: string;
  readonly call: number;
  /** Null = still open at the end. */
  readonly ret: number | null;
  /** The time its own arguments allow: wait, lease of the holder ahead, lock delay. */
  readonly allowedMs: number;
}

/**
 * Liveness: with every fault healed at `healedAt`, each wait ends within its allowance plus `settleMs` (an election and a few round
 * trips), counted from the later of its call and the heal.
 */
export function checkLiveness(waits: readonly OpenWait[], healedAt: number, endedAt: number, settleMs: number): Violation | null {
  for (const wait of waits) {
    const deadline = Math.max(wait.call, healedAt) + wait.allowedMs + settleMs;
    const resolvedAt = wait.ret ?? Number.POSITIVE_INFINITY;
    if (resolvedAt <= deadline || (wait.ret === null && endedAt < deadline)) continue;
    const how = wait.ret === null ? `was still open at ${endedAt}` : `ended at ${wait.ret}`;
    return { invariant: "liveness", detail: `${wait.id} (asked at ${wait.call}, healed at ${healedAt}) ${how}, allowed until ${deadline}` };
  }
  return null;
}
