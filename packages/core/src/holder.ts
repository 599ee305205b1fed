/**
 * What a process needs to hold copies of cached values, without a node in it: one side of the coherence protocol, and the policies that say which copy
 * goes. The SDK imports this and nothing else of the core (docs/decisions/0017-near-cache.md).
 */
export * from "./coherence/holder-state.ts";
export { stepHolder } from "./coherence/holder.ts";
export { isReadable } from "./coherence/line-table.ts";
export { isEvictable, readableCopy } from "./coherence/reading.ts";
export type { Moment } from "./coherence/timing.ts";
export { createPolicy } from "./eviction/create.ts";
export { evictionLimits } from "./eviction/limits.ts";
export { type Bounds, type EvictionPolicy, makeRoom, type PolicyName, policyNames } from "./eviction/policy.ts";
export type { Resident } from "./eviction/resident.ts";
