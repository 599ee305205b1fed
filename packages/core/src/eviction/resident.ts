import type { Queue } from "./queue.ts";

/**
 * One copy as a policy sees it. The cache's line keeps it and hands it back at every call, so that a hit searches nothing. All
 * residents have the same shape whatever the policy, and everything but `line`, `hash` and `bytes` belongs to the policy.
 */
export class Resident<Line> {
  readonly line: Line;
  /** 32 bits of the key, well mixed. Two keys with one hash only share what is remembered about how often they were asked for. */
  readonly hash: number;
  /** What the copy weighs. Changed by `EvictionPolicy.resize` alone. */
  bytes: number;
  /** The list it is in, null once it is removed. */
  queue: Queue<Line> | null = null;
  /** Towards the youngest. */
  younger: Resident<Line> | null = null;
  /** Towards the oldest. */
  older: Resident<Line> | null = null;
  /** What the policy counts about hits: a bit, a few, or all of them. */
  visits = 0;

  constructor(line: Line, hash: number, bytes: number) {
    this.line = line;
    this.hash = hash | 0;
    this.bytes = bytes;
  }
}
