import type { QueueSettings } from "@trivet/engine";

/** A queue of the workload, and what is known of it once group 0 has it. */
export interface SimQueue {
  readonly name: string;
  readonly settings: Partial<QueueSettings>;
  readonly groups: readonly string[];
  /** Every acknowledged message must come out in every group: none may be purged, expire or be handed out at most once. */
  readonly strict: boolean;
  /** 0 = not defined yet. */
  queue: number;
  version: number;
}

/** Longer than a run and its end: within it an id is one message. */
const dedupeWindowMs = 600_000;

export const simQueues = (): readonly SimQueue[] => [
  {
    name: "strict",
    settings: { partitions: 2, visibilityMs: 2_000, maxDeliveries: 4, maxAcquired: 0, backoffMs: 100, dedupeWindowMs },
    groups: ["g1", "g2"],
    strict: true,
    queue: 0,
    version: 0,
  },
  {
    name: "loose",
    settings: {
      partitions: 3,
      visibilityMs: 1_000,
      maxDeliveries: 2,
      maxAcquired: 5,
      backoffMs: 50,
      ttlMs: 6_000,
      maxMessages: 40,
      maxLeased: 8,
      dedupeWindowMs,
    },
    groups: ["g1"],
    strict: false,
    queue: 0,
    version: 0,
  },
];

export const partitionsOf = ({ settings }: SimQueue): number => settings.partitions ?? 1;
