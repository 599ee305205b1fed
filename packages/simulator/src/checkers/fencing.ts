import type { Violation } from "./history.ts";

/** One fresh grant as its caller saw it (a re-entry or a downgrade keeps its fence and is not one). */
export interface FencedGrant {
  readonly name: string;
  readonly fence: number;
  readonly call: number;
  readonly ret: number;
}

/**
 * Rule K1: every grant has its own fence, and a grant asked for after another was answered has a greater one, across all names. O(n log n).
 */
export function checkFencing(grants: readonly FencedGrant[]): Violation | null {
  const byFence = new Map<number, FencedGrant>();
  for (const grant of grants) {
    const twin = byFence.get(grant.fence);
    if (twin !== undefined) {
      return { invariant: "fence-unique", detail: `fence ${grant.fence} was granted for ${twin.name} and again for ${grant.name}` };
    }
    byFence.set(grant.fence, grant);
  }
  const byCall = [...grants].sort((a, b) => a.call - b.call);
  const byReturn = [...grants].sort((a, b) => a.ret - b.ret);
  let answered = 0;
  let highest: FencedGrant | null = null;
  for (const grant of byCall) {
    for (let next = byReturn[answered]; next !== undefined && next.ret < grant.call; next = byReturn[answered]) {
      if (highest === null || next.fence > highest.fence) highest = next;
      answered += 1;
    }
    if (highest !== null && grant.fence <= highest.fence) {
      return {
        invariant: "fence-order",
        detail: `${grant.name}: fence ${grant.fence} asked at ${grant.call}, after ${highest.name} had been given ${highest.fence} at ${highest.ret}`,
      };
    }
  }
  return null;
}

/** A resource that checks fences, as a test double of what callers guard: refuses a writer whose fence is below the highest seen. */
export class FencedRegister {
  highest = 0;
  value = "";
  write(fence: number, value: string): boolean {
    if (fence < this.highest) return false;
    this.highest = fence;
    this.value = value;
    return true;
  }
}
