export type { TestApi } from "./api.ts";
export { clockConformance } from "./clock.ts";
export { fileStoreConformance } from "./file-store.ts";
export { orderedStoreConformance } from "./ordered-store.ts";
export type { StoreLab } from "./ordered-store.ts";
export { queuesConformance } from "./queues.ts";
export type { QueuesAbilities, QueuesHarness } from "./queues/kit.ts";
export { transportConformance } from "./transport.ts";
export type { TransportPair } from "./transport.ts";
