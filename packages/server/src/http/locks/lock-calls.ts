import type { Actor, AcquireLock, LockKey, LockMode } from "@trivet/wire";
import { badField, failure, type Failure } from "../answer.ts";
import { isFailure, read, submit, type AnyCall } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { expect, inOwnWay, type Answered } from "../outcomes.ts";

/** A lock call in one shape, whatever path it came by. */
export interface LockRequest {
  readonly owner?: string | undefined;
  readonly session_id?: string | number | undefined;
  readonly fence?: string | number | undefined;
}
export interface AcquireRequest extends LockRequest {
  readonly keys: readonly LockKey[];
  readonly ttl_ms?: number | undefined;
  readonly wait_ms?: number | undefined;
  readonly reentrant?: boolean | undefined;
}

export const numberOf = (value: string | number | undefined): number => (value === undefined ? 0 : Number(value));
export const lockKey = (name: string, mode: LockMode = "exclusive", of = 0): LockKey => ({ name, mode, of });

/** A fence or session id below 2^53; the schema has checked the digits. */
export function checkNumbers(request: LockRequest): Failure | null {
  for (const field of ["session_id", "fence"] as const) {
    const value = request[field];
    if (value !== undefined && !Number.isSafeInteger(Number(value))) return badField(field, "a number below 2^53");
  }
  return null;
}

/** A session's flows are told apart by owner; one that names none is its default flow. */
export function actorOf(call: AnyCall, request: LockRequest): Actor {
  const session = numberOf(request.session_id);
  return { session, principal: call.principal, owner: request.owner ?? (session === 0 ? "" : "default") };
}

/** No owner and no session: each acquire is its own anonymous owner, named by the replicated state. */
export const isAnonymous = (request: LockRequest): boolean => request.owner === undefined && numberOf(request.session_id) === 0;

export async function acquire(context: HttpContext, call: AnyCall, request: AcquireRequest): Promise<Answered<"granted"> | Failure> {
  const bad = checkNumbers(request) ?? checkTtl(context, request.ttl_ms);
  if (bad !== null) return bad;
  const [first] = request.keys;
  if (first === undefined) return badField("locks", "at least one lock");
  const waitMs = request.wait_ms ?? 0;
  const command: AcquireLock = {
    type: "acquire",
    actor: actorOf(call, request),
    keys: request.keys,
    ttlMs: numberOf(request.session_id) === 0 ? (request.ttl_ms ?? context.config.locks.defaultTtlMs) : 0,
    waitMs,
    reentrant: request.reentrant ?? false,
    anonymous: isAnonymous(request),
  };
  const started = context.now();
  const submitted = await submit(context, call, command, waitMs);
  const expected = expect(context, submitted, first.name, "granted");
  const own = submitted.type === "answered" ? inOwnWay(submitted.result, command.actor) : null;
  const outcome =
    isFailure(expected) && own !== null ? { ...expected, detail: own.detail, members: { ...expected.members, next: own.next } } : expected;
  context.metrics.observe("lock_acquire_duration_seconds", (context.now() - started) / 1_000, {
    mode: first.mode,
    outcome: isFailure(outcome) ? outcome.code : "granted",
  });
  return outcome;
}

export function checkTtl(context: HttpContext, ttlMs: number | undefined): Failure | null {
  const { maxTtlMs } = context.config.locks;
  return ttlMs !== undefined && ttlMs > maxTtlMs ? badField("ttl_ms", `at most ${maxTtlMs} ms (LOCK_MAX_TTL_MS)`) : null;
}

/**
 * A fence alone is a handle: the owner is looked up. The local state may lag behind the grant, so a miss is asked again behind a
 * linearizable read.
 */
export async function holderOf(context: HttpContext, call: AnyCall, name: string, fence: number): Promise<Actor | Failure | null> {
  for (const consistency of ["stale", "linearizable"] as const) {
    const found = await read(context, consistency, (view) => {
      const hold = view.lock(name).holders.find((candidate) => candidate.fence === fence);
      // A view is valid only in here.
      return hold === undefined ? null : { session: hold.session, principal: hold.principal, owner: hold.owner };
    });
    if (isFailure(found)) return found;
    if (found !== null) return found.principal === call.principal ? found : null;
  }
  return null;
}

/** The actor of a call that names a grant: given, or looked up by its fence. */
export async function actorOfGrant(context: HttpContext, call: AnyCall, name: string, request: LockRequest): Promise<Actor | Failure> {
  if (!isAnonymous(request)) return actorOf(call, request);
  const fence = numberOf(request.fence);
  const holder = fence === 0 ? null : await holderOf(context, call, name, fence);
  return holder ?? actorOf(call, request);
}

export async function release(
  context: HttpContext,
  call: AnyCall,
  name: string,
  request: LockRequest,
): Promise<(Answered<"released"> & { readonly owner: string }) | Failure> {
  const bad = checkNumbers(request);
  if (bad !== null) return bad;
  const actor = await actorOfGrant(context, call, name, request);
  if (isFailure(actor)) return actor;
  const started = context.now();
  const command = {
    type: "release",
    actor,
    name,
    fence: numberOf(request.fence),
    anonymous: actor.owner === "" && actor.session === 0,
  } as const;
  const outcome = expect(context, await submit(context, call, command), name, "released");
  context.metrics.observe("lock_release_duration_seconds", (context.now() - started) / 1_000, {
    outcome: isFailure(outcome) ? outcome.code : "released",
  });
  return isFailure(outcome) ? outcome : { ...outcome, owner: actor.owner };
}

/** A grant's lease as told to the caller: from the grant, nothing when a session keeps it. */
export function leaseOf(
  context: HttpContext,
  request: { readonly session_id?: string | number | undefined; readonly ttl_ms?: number | undefined },
): number | null {
  return numberOf(request.session_id) === 0 ? (request.ttl_ms ?? context.config.locks.defaultTtlMs) : null;
}

/** The lease is over: told to the caller and counted. */
export function lostLock(context: HttpContext, name: string, fence: number): Failure {
  context.metrics.count("stale_token_rejected_total", 1);
  return failure("lock_lost", { values: { name, fence }, members: { fence: String(fence) } });
}
