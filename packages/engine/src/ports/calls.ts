/** Why a call could not be carried out; nothing happened (safe to send again anywhere). */
export interface Unavailable {
  readonly type: "unavailable";
  readonly code: "no_leader" | "no_quorum" | "overloaded" | "stopping" | "storage" | "removed" | "redis_unavailable" | "feature_level";
  readonly retryAfterMs: number;
  readonly detail: string;
}
/** The deadline passed while the command was under way: it may or may not take effect. Ask by `requestId` later (X3). */
export interface Unknown {
  readonly type: "unknown";
  readonly requestId: string;
}

export interface SubmitOptions {
  /** Give up after so long; a waiting acquire must include its wait. */
  readonly timeoutMs: number;
  /** Idempotency (X2): same key = same caller; `fingerprint` of the body guards against reuse with another body. */
  readonly idempotency?: { readonly key: string; readonly fingerprint: string };
}
export interface Submission {
  readonly requestId: string;
  /** The client went away: a waiting acquire is cancelled through the log (rule K4). */
  abandon(): void;
}
