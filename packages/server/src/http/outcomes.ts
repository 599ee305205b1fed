import { lockedByItself, type OwnHoldText, waitsForItself } from "@trivet/contract";
import type { Outcome } from "@trivet/engine";
import type { Actor, CycleStep, HolderInfo, Result } from "@trivet/wire";
import { failure, type Failure } from "./answer.ts";
import { isFailure, notAnswered } from "./calls.ts";
import type { HttpContext } from "./context.ts";

export const decimal = (value: number): string => String(value);
export const sessionOf = (session: number): string | null => (session === 0 ? null : decimal(session));

/** Lease left of a hold, where this node knows it exactly (on the leader). */
function leaseLeft(context: HttpContext, session: number, fence: number): number | null {
  const left = session === 0 ? context.node.leaseLeft("grant", fence) : context.node.leaseLeft("session", session);
  return left === null ? null : Math.max(0, Math.round(left));
}

export interface HolderJson {
  readonly owner: string;
  readonly session_id: string | null;
  readonly mode: HolderInfo["mode"];
  readonly fence: string;
  readonly expires_in_ms: number | null;
}
export const holderJson = (context: HttpContext, holder: HolderInfo): HolderJson => ({
  owner: holder.owner,
  session_id: sessionOf(holder.session),
  mode: holder.mode,
  fence: decimal(holder.fence),
  expires_in_ms: leaseLeft(context, holder.session, holder.fence),
});

export interface CycleJson {
  readonly owner: string;
  readonly waits_for: string;
  readonly mode: CycleStep["mode"];
  readonly held_by: string;
}
export const cycleJson = (step: CycleStep): CycleJson => ({
  owner: step.owner,
  waits_for: step.waitsFor,
  mode: step.mode,
  held_by: step.heldBy,
});

const notFoundCodes = { lock: "lock_not_found", session: "session_not_found", wait: "wait_not_found", node: "member_not_found" } as const;

export function fromRefusal(reason: Extract<Result, { type: "refused" }>["reason"]): Failure {
  switch (reason) {
    case "past-deadline":
    case "out-of-order":
      return failure("not_executed", { retryAfterMs: 1_000 });
    case "other-body":
      return failure("idempotency_key_reused");
    case "already-acknowledged":
      return failure("conflict", { values: { reason: "This call was made and answered before, and its answer is no longer kept." } });
    case "window-full":
    case "too-many-callers":
      return failure("quota_exceeded", {
        values: { limit: reason.replaceAll("-", " "), max: "reached" },
        members: { limit: reason },
        retryAfterMs: 1_000,
      });
  }
}

/** Who asks for a lock is the only one in its way: another text than that of waiting for others. Null = others are. */
export function inOwnWay(result: Result, asker: Actor): OwnHoldText | null {
  if (result.type === "deadlock") {
    const [step] = result.cycle;
    const isOwn = result.cycle.length === 1 && step !== undefined && step.owner === step.heldBy;
    return isOwn ? waitsForItself(step.waitsFor, step.owner) : null;
  }
  if (result.type !== "busy" || result.holders.length === 0) return null;
  const isOwn = result.holders.every(({ owner, session }) => owner === asker.owner && session === asker.session);
  return isOwn ? lockedByItself(result.name, asker.owner) : null;
}

/** The failure that a result of apply is, with `name` for the text. Null for results that are not failures by themselves. */
export function failureOfResult(context: HttpContext, result: Result, name: string): Failure | null {
  switch (result.type) {
    case "busy":
      return failure("locked", {
        values: { name: result.name },
        ...(result.waited ? { detail: `Lock ${result.name} was not granted within the wait, and nothing stays queued.` } : {}),
        members: { holders: result.holders.map((holder) => holderJson(context, holder)), waiters: result.waiters },
      });
    case "deadlock":
      return failure("deadlock", { values: { name }, members: { cycle: result.cycle.map(cycleJson) } });
    case "cancelled":
      return failure("cancelled", { values: { name } });
    case "not-held":
      if (result.holders.length === 0) return failure("lock_not_found", { values: { name: result.name } });
      return failure("not_holder", {
        values: { name: result.name },
        members: { holders: result.holders.map((holder) => holderJson(context, holder)) },
      });
    case "stale-fence":
      return failure("stale_fence", { values: { name: result.name, fence: result.fence }, members: { fence: decimal(result.fence) } });
    case "not-found":
      return failure(notFoundCodes[result.what], { values: { name, session: name, node: name } });
    case "session-lost":
      return failure("session_not_found", { values: { session: result.session } });
    case "quota":
      return failure("quota_exceeded", {
        values: { limit: result.limit, max: result.max },
        members: { limit: result.limit, max: result.max },
        retryAfterMs: 1_000,
      });
    case "conflict":
      return failure("conflict", { values: { reason: `${result.detail}.` }, members: { reason: result.reason } });
    case "malformed":
      return failure("bad_request", {
        values: { field: "request", expected: result.detail },
        members: { field: "request", expected: result.detail },
      });
    case "refused":
      return fromRefusal(result.reason);
    // Answers to definitions of queues and namespaces, and to placements: who asks for those knows them.
    case "queue-refused":
    case "placement-refused":
    case "queue-defined":
    case "queue-deleted":
    case "namespace-refused":
    case "namespace-defined":
    case "namespace-deleted":
    // Of audit logs: the nodes' own.
    case "anchor-refused":
    case "placement-set":
    case "done":
    case "session-opened":
    case "granted":
    case "released":
      return null;
  }
}

export interface Answered<Type extends Result["type"]> {
  readonly result: Extract<Result, { type: Type }>;
  readonly requestId: string;
  readonly index: string | null;
}

/** Counted where they are answered: the sum over the nodes is the cluster's. */
export function countResult(context: HttpContext, type: Result["type"]): void {
  if (type === "deadlock") context.metrics.count("lock_deadlocks_total", 1);
  else if (type === "stale-fence") context.metrics.count("stale_token_rejected_total", 1);
}

/** The result of the wanted type, or the failure it is instead. */
export function expect<Type extends Result["type"]>(
  context: HttpContext,
  outcome: Outcome | Failure,
  name: string,
  ...wanted: readonly Type[]
): Answered<Type> | Failure {
  if (isFailure(outcome)) return outcome;
  if (outcome.type !== "answered") return notAnswered(context, outcome);
  const { result } = outcome;
  countResult(context, result.type);
  const index = outcome.index === undefined ? null : decimal(outcome.index);
  if ((wanted as readonly string[]).includes(result.type))
    return { result: result as Extract<Result, { type: Type }>, requestId: outcome.requestId, index };
  const reason = failureOfResult(context, result, name);
  if (reason === null)
    return failure("internal", { values: { node: context.config.nodeId }, members: { reason: `unexpected result ${result.type}` } });
  return index === null ? reason : { ...reason, members: { ...reason.members, index } };
}
