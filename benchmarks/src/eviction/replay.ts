import { createPolicy, makeRoom, type PolicyName, type Resident } from "@trivet/core";
import { avalanche } from "@trivet/wire";
import type { Trace } from "./traces.ts";

export function everythingMayGo(): boolean {
  return true;
}

/** Per cent of a trace's requests that find a copy, beginning with an empty cache of `size` copies. */
export function hitRatio(trace: Trace, policyName: PolicyName, size: number, seed: number): number {
  const policy = createPolicy<number>(policyName, { maxEntries: size, maxBytes: Infinity }, seed);
  const copies: (Resident<number> | null)[] = Array.from({ length: trace.unique }, () => null);
  const evict = (key: number): void => {
    copies[key] = null;
  };
  let hits = 0;
  for (const key of trace.requests) {
    const copy = copies[key] ?? null;
    if (copy === null) {
      copies[key] = policy.admit(key, avalanche(key + 1), 0);
      makeRoom(policy, everythingMayGo, evict);
    } else {
      policy.recordHit(copy);
      hits++;
    }
  }
  return (100 * hits) / trace.requests.length;
}
