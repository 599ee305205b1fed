import type { ExpiryKind, Result } from "@trivet/wire";

/**
 * What apply tells its surroundings. Apply runs on every replica; only a node where somebody waits for `caller` keeps an answer.
 * Implementations must not call back into the state machine.
 */
export interface ApplySink {
  /**
   * The final answer of (caller, sequence): fresh, repeated from the dedupe table, or delayed (a grant after waiting). `fingerprint` is that
   * of the request answered, `notAfter` that of its frame, 0 for a delayed answer: copies of one request, and other requests under one
   * idempotency key, may be on their way through several nodes, and a refusal of one is not the answer of another.
   */
  answer(caller: string, sequence: number, result: Result, fingerprint: string, notAfter: number): void;
  /** Something a watcher may want to see. */
  changed(event: SystemEvent): void;
  /** False = nobody looks at what `changed` is told: what costs something to tell need not be told. */
  readonly isWatched?: boolean;
}

/** Liveness timers (rule L3): a new leader restarts each in full; only the leader runs them and proposes `expire`. */
export interface TimerSink {
  armed(kind: ExpiryKind, id: number, durationMs: number): void;
  cleared(kind: ExpiryKind, id: number): void;
}

/** Watchable changes of group 0, in log order. */
export type SystemEvent =
  | {
      readonly type: "lock-granted";
      readonly name: string;
      readonly owner: string;
      readonly session: number;
      readonly mode: string;
      readonly fence: number;
    }
  | {
      readonly type: "lock-released";
      readonly name: string;
      readonly owner: string;
      readonly session: number;
      readonly fence: number;
      readonly cause: ReleaseCause;
      /** Who forced it and why; only with cause `forced` (audit). */
      readonly forced?: ForcedBy;
    }
  | { readonly type: "lock-waiting"; readonly name: string; readonly owner: string; readonly session: number; readonly mode: string }
  | {
      readonly type: "wait-ended";
      readonly name: string;
      readonly owner: string;
      readonly session: number;
      readonly cause: "timeout" | "cancelled" | "deadlock" | "session-lost";
    }
  | { readonly type: "session-opened"; readonly session: number }
  | { readonly type: "session-ended"; readonly session: number; readonly cause: "closed" | "expired" }
  /** Made, or defined anew: the view has its definition. */
  | { readonly type: "queue-defined"; readonly queue: number }
  | { readonly type: "queue-deleted"; readonly queue: number; readonly name: string }
  | { readonly type: "namespace-defined"; readonly namespace: number }
  | { readonly type: "namespace-deleted"; readonly namespace: number }
  | { readonly type: "placement-changed"; readonly epoch: number }
  | { readonly type: "level-raised"; readonly level: number }
  | { readonly type: "node-draining"; readonly node: string; readonly draining: boolean };
export interface ForcedBy {
  readonly principal: string;
  readonly reason: string;
}
export type ReleaseCause = "released" | "expired" | "session-lost" | "session-closed" | "forced";
