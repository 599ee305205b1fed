import type { PlacementView, QueueView } from "@trivet/core";
import type { QueueDefinition } from "@trivet/wire";
import type { Unavailable } from "../node/node-api.ts";
import type { QueueCallOptions, QueueFailure, QueueSettings } from "./queues-api.ts";

export type DefineOutcome = { readonly type: "defined"; readonly created: boolean; readonly queue: QueueView } | QueueFailure;
export type RemoveOutcome = { readonly type: "removed" } | QueueFailure;

/**
 * Queue definitions as this node knows them (rule G1): group 0's state, or a stand-in for tests. What is asked without a callback is answered from
 * here and may be old; `refresh` makes it new. All callbacks come later, never inside the call.
 */
export interface QueueDirectory {
  queue(name: string): QueueView | null;
  byNumber(queue: number): QueueView | null;
  /** In the order of the names, after `cursor`; `next` null = that was all. */
  list(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null };
  /** From `ready` on, everything that was committed before this call is known here. */
  refresh(timeoutMs: number, done: (outcome: { readonly type: "ready" } | Unavailable) => void): void;
  /** `create` refuses an existing queue, `update` an unknown one, `ensure` takes either. Once it is `defined`, this node knows it. */
  define(
    name: string,
    settings: Partial<QueueSettings>,
    mode: "create" | "update" | "ensure",
    options: QueueCallOptions,
    done: (outcome: DefineOutcome) => void,
  ): void;
  remove(name: string, options: QueueCallOptions, done: (outcome: RemoveOutcome) => void): void;
  /** Told of each change as it becomes known here; null = the queue is gone for good. */
  watch(listener: (queue: number, definition: QueueDefinition | null) => void): () => void;
  placement(): PlacementView | null;
}
