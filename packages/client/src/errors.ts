import type { ErrorCode } from "@trivet/contract";
import type { Actor, CycleStep, HolderInfo, Result, SettleOutcome } from "@trivet/wire";

/** Codes of the server's error catalogue, and the few that only a client can know. */
export type ClientErrorCode =
  | ErrorCode
  /** No node could be reached in time; nothing happened. */
  | "unreachable"
  /** The connection was closed by this program; nothing happened. */
  | "closed";

export interface TrivetErrorOptions {
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Every error of this package. Match on `code`, never on the text. */
export class TrivetError extends Error {
  readonly code: ClientErrorCode;
  /** The very same call may succeed later, and sending it again is safe. */
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ClientErrorCode, message: string, options: TrivetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TrivetError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** Who holds a lock, in the types of this package: fences are bigints everywhere in it but in raw commands and results. */
export interface Holder extends Omit<HolderInfo, "fence"> {
  readonly fence: bigint;
}
const inBigints = (holders: readonly HolderInfo[]): readonly Holder[] =>
  holders.map((holder) => ({ ...holder, fence: BigInt(holder.fence) }));

/** What helps who is in its own way. */
const ownHold =
  "this owner already holds it: acquire with `reentrant: true` to count it twice, or give what is somebody else another `owner`";

/** The lock was not granted, at once or within the wait; nothing stays queued. Code `locked`. */
export class LockedError extends TrivetError {
  readonly holders: readonly Holder[];
  /** `asker`: whose call it was; when nobody else holds the lock, the text says so. */
  constructor(name: string, waited: boolean, holders: readonly Holder[], asker?: Pick<Actor, "owner" | "session">) {
    const isOwn = holders.length > 0 && holders.every(({ owner, session }) => owner === asker?.owner && session === asker.session);
    const by = holders.length === 0 ? "" : `; held by ${holders.map((holder) => `owner ${JSON.stringify(holder.owner)}`).join(", ")}`;
    super("locked", `Lock ${name} was not granted ${waited ? "within the wait" : "at once"}${by}${isOwn ? `; ${ownHold}` : ""}`, {
      retryable: true,
      details: { name, holders },
    });
    this.name = "LockedError";
    this.holders = holders;
  }
}

/** Waiting would never have ended; this wait was chosen as the victim. Code `deadlock`. */
export class DeadlockError extends TrivetError {
  readonly cycle: readonly CycleStep[];
  constructor(cycle: readonly CycleStep[]) {
    const steps = cycle
      .map((step) => `owner ${JSON.stringify(step.owner)} waits for ${step.waitsFor}, held by owner ${JSON.stringify(step.heldBy)}`)
      .join("; ");
    const [step] = cycle;
    const isOwn = cycle.length === 1 && step !== undefined && step.owner === step.heldBy;
    super("deadlock", `Deadlock: ${steps}${isOwn ? `; ${ownHold}` : ""}`, { retryable: true, details: { cycle } });
    this.name = "DeadlockError";
    this.cycle = cycle;
  }
}

/** The lease is over: what the lock protected may be in other hands. Code `lock_lost`. */
export class LockLostError extends TrivetError {
  constructor(what: string, reason: string) {
    super("lock_lost", `${what} is lost: ${reason}`, { details: { reason } });
    this.name = "LockLostError";
  }
}

/** The deadline passed while the command was under way: it may have taken effect, or may yet until `notAfter`. Code `commit_timeout`. */
export class OutcomeUnknownError extends TrivetError {
  /** Ask for the outcome later with `GET /v1/requests/{requestId}`. */
  readonly requestId: string;
  /** Group time (Unix milliseconds) after which the command can no longer begin to take effect. */
  readonly notAfter: number;
  constructor(requestId: string, notAfter: number) {
    super("commit_timeout", `No answer in time; the outcome is unknown (request ${requestId})`, { details: { requestId, notAfter } });
    this.name = "OutcomeUnknownError";
    this.requestId = requestId;
    this.notAfter = notAfter;
  }
}

/** The partition has as many messages or bytes as its queue allows; nothing was stored. Code `queue_full`. */
export class QueueFullError extends TrivetError {
  constructor(name: string, limit: "messages" | "bytes", max: number) {
    super("queue_full", `Queue ${name} is full: a partition may have ${max} ${limit}`, { retryable: true, details: { name, limit, max } });
    this.name = "QueueFullError";
  }
}

/**
 * The lease of a message is over, and the message is or will be in other hands, or is settled. Code `receipt_stale`. `outcome`: `stale` = handed out
 * again or its lease ended; `unknown` = there is no such message any more; null = by this program's own clock.
 */
export class StaleReceiptError extends TrivetError {
  readonly outcome: Exclude<SettleOutcome, "settled"> | null;
  constructor(id: string, reason: string, outcome: Exclude<SettleOutcome, "settled"> | null) {
    super("receipt_stale", `Message ${id} is no longer held: ${reason}`, { details: { id, outcome } });
    this.name = "StaleReceiptError";
    this.outcome = outcome;
  }
}

/** Rule K5: a later holder of the lock has written; nothing was stored. Code `fence_behind`. */
export class FenceBehindError extends TrivetError {
  readonly highest: bigint;
  constructor(lock: string, highest: number) {
    super("fence_behind", `A later holder of lock ${lock} has written: fence ${highest}`, { details: { lock, highest: BigInt(highest) } });
    this.name = "FenceBehindError";
    this.highest = BigInt(highest);
  }
}

/** Nothing happened, as no node could take the command. Codes `unreachable`, `no_leader`, `no_quorum`, `overloaded`, `stopping` … */
export class UnavailableError extends TrivetError {
  constructor(code: ClientErrorCode, message: string, options: TrivetErrorOptions = {}) {
    super(code, message, { retryable: true, ...options });
    this.name = "UnavailableError";
  }
}

const missing = { lock: "lock_not_found", session: "session_not_found", wait: "wait_not_found", node: "member_not_found" } as const;

/** The error for a result that is not what the caller asked for; `asker` is who asked for a lock. */
export function errorOf(result: Result, asker?: Pick<Actor, "owner" | "session">): TrivetError {
  switch (result.type) {
    case "busy":
      return new LockedError(result.name, result.waited, inBigints(result.holders), asker);
    case "deadlock":
      return new DeadlockError(result.cycle);
    case "cancelled":
      return new TrivetError("cancelled", "The wait was cancelled", { retryable: true });
    case "not-held":
      return new TrivetError("not_holder", `Lock ${result.name} is not held by this owner`, {
        details: { holders: inBigints(result.holders) },
      });
    case "stale-fence":
      return new TrivetError("stale_fence", `Fence ${result.fence} is not that of the present grant of lock ${result.name}`, {
        details: { fence: BigInt(result.fence) },
      });
    case "not-found":
      return new TrivetError(missing[result.what], `No such ${result.what}`);
    case "session-lost":
      return new TrivetError("session_not_found", `Session ${result.session} has ended`, { details: { session: result.session } });
    case "quota":
      return new TrivetError("quota_exceeded", `The limit ${result.limit} is ${result.max}`, { retryable: true, details: { ...result } });
    case "conflict":
      return new TrivetError("conflict", result.detail === "" ? `Conflict: ${result.reason}` : result.detail, { details: { ...result } });
    case "malformed":
      return new TrivetError("bad_request", result.detail);
    case "refused":
      return refusal(result.reason);
    case "queue-refused":
      return queueRefusal(result);
    case "placement-refused":
    case "queue-defined":
    case "queue-deleted":
    case "namespace-refused":
    case "namespace-defined":
    case "namespace-deleted":
    case "anchor-refused":
    case "placement-set":
    case "done":
    case "granted":
    case "released":
    case "session-opened":
      return new TrivetError("internal", `Unexpected answer ${result.type}`, { details: { ...result } });
  }
}

function queueRefusal(result: Extract<Result, { type: "queue-refused" }>): TrivetError {
  switch (result.reason) {
    case "exists":
      return new TrivetError("queue_exists", `Queue ${result.definition.name} exists`, { details: { ...result } });
    case "unknown":
      return new TrivetError("queue_unknown", "There is no such queue");
    case "fixed":
      return new TrivetError("queue_fixed", `${result.field} is ${result.value}, and fixed; not ${result.asked}`, {
        details: { ...result },
      });
    case "too-many":
      return new TrivetError("quota_exceeded", `${result.max} queues are the most`, { retryable: true, details: { ...result } });
    case "invalid":
      return new TrivetError("bad_request", result.detail);
  }
}

function refusal(reason: Extract<Result, { type: "refused" }>["reason"]): TrivetError {
  switch (reason) {
    case "past-deadline":
      return new TrivetError("not_executed", "The command reached the log after its deadline; nothing happened", { retryable: true });
    case "out-of-order":
      return new TrivetError("not_executed", "The command came before the one it has to follow; nothing happened", { retryable: true });
    case "already-acknowledged":
      return new TrivetError("request_expired", "The outcome of this command is no longer kept");
    case "window-full":
    case "too-many-callers":
      return new TrivetError("overloaded", `Too many commands are open (${reason})`, { retryable: true });
    case "other-body":
      return new TrivetError("idempotency_key_reused", "The same request id came before with another body");
  }
}
