import type { Actor, LockMode } from "@trivet/wire";
import { httpLimits, type lockRoutes } from "@trivet/contract";
import { badField, failure, ok, type Answer, type Failure } from "../answer.ts";
import { isFailure, read, readListing, submit, unavailable, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import {
  acquire,
  actorOf,
  actorOfGrant,
  checkNumbers,
  checkTtl,
  holderOf,
  isAnonymous,
  leaseOf,
  lockKey,
  lostLock,
  numberOf,
  release,
  type LockRequest,
} from "./lock-calls.ts";
import { locksWithLeases } from "../leases.ts";
import { leaderOf } from "../cluster/leader.ts";
import { decimal, expect, sessionOf, type Answered } from "../outcomes.ts";
import { lockJson } from "../views.ts";

type LockRouteId = Exclude<keyof typeof lockRoutes, "watchLock" | "acquireLockSet" | "releaseLockSet" | "lockGraph" | "checkFence">;

function grantedJson(
  context: HttpContext,
  name: string,
  request: LockRequest,
  answer: Answered<"granted">,
  expiresInMs: number | null,
): Answer {
  const { result } = answer;
  return ok({
    granted: true,
    name,
    mode: result.mode,
    owner: result.owner,
    session_id: sessionOf(numberOf(request.session_id)),
    fence: decimal(result.fence),
    depth: result.depth,
    expires_in_ms: expiresInMs,
    ...leaderOf(context),
    request_id: answer.requestId,
  });
}

/** Renew on the leader's word: extends the lease in memory after a quorum round, nothing reaches the log (rule L1). */
function renew(context: HttpContext, name: string, fence: number): Promise<Answer> {
  return new Promise((resolve) => {
    context.node.renew(name, fence, context.config.http.requestTimeoutMs, (outcome) => {
      if (outcome.type === "renewed")
        resolve(ok({ renewed: true, name, fence: decimal(fence), expires_in_ms: Math.max(0, Math.round(outcome.expiresInMs)) }));
      else resolve(outcome.type === "lost" ? lostLock(context, name, fence) : unavailable(context, outcome));
    });
  });
}

/** Somebody else's grant is not prolonged, and one that rests on a session has no lease of its own. */
function notRenewable(name: string, request: LockRequest, holder: Actor): Failure | null {
  const otherOwner = request.owner !== undefined && request.owner !== holder.owner;
  const otherSession = request.session_id !== undefined && numberOf(request.session_id) !== holder.session;
  if (otherOwner || otherSession) return failure("not_holder", { values: { name } });
  if (holder.session === 0) return null;
  const reason = `Session ${holder.session} keeps lock ${name}: keep the session alive instead.`;
  return failure("conflict", { values: { reason }, members: { reason } });
}

/** Cursors are opaque to callers: the last name of a page, encoded so that any byte may travel in a query. */
export const encodeCursor = (name: string | null): string | null =>
  name === null ? null : Buffer.from(name, "utf8").toString("base64url");
export function decodeCursor(cursor: string | undefined): string | Failure {
  const name = cursor === undefined ? "" : Buffer.from(cursor, "base64url").toString("utf8");
  return name.includes("\uFFFD") ? badField("cursor", "`next_cursor` of the page before") : name;
}

export const lockHandlers: Some<LockRouteId> = {
  acquireLock: async (call, context) => {
    const { body, params } = call;
    if ((body.permits === undefined) !== (body.of === undefined))
      return badField(body.permits === undefined ? "permits" : "of", "`permits` and `of` together: a semaphore");
    if (body.permits !== undefined && body.mode !== undefined) return badField("mode", "no mode together with `permits`");
    if (isAnonymous(body)) return badField("owner", "an owner or a session_id");
    const key = body.of === undefined ? lockKey(params.name, body.mode) : lockKey(params.name, "permit", body.of);
    const answer = await acquire(context, call, { ...body, keys: [key] });
    return isFailure(answer) ? answer : grantedJson(context, params.name, body, answer, leaseOf(context, body));
  },

  releaseLock: async (call, context) => {
    const { body, params } = call;
    if (isAnonymous(body) && body.fence === undefined) return badField("fence", "the fence of the grant, or an owner or session_id");
    const answer = await release(context, call, params.name, body);
    if (isFailure(answer)) return answer;
    const { result } = answer;
    return ok({
      released: true,
      name: params.name,
      fence: decimal(result.fence),
      remaining: result.remaining,
      granted_to: result.grantedTo,
      request_id: answer.requestId,
    });
  },

  renewLock: async (call, context) => {
    const { body, params } = call;
    const bad = checkNumbers(body) ?? checkTtl(context, body.ttl_ms);
    if (bad !== null) return bad;
    const fence = numberOf(body.fence);
    // Whose lease it is, and of which lock, is asked first: the leader's timers know fences only.
    const holder = await holderOf(context, call, params.name, fence);
    if (isFailure(holder)) return holder;
    if (holder === null) return lostLock(context, params.name, fence);
    const wrong = notRenewable(params.name, body, holder);
    if (wrong !== null) return wrong;
    if (body.ttl_ms !== undefined) {
      const actor = holder;
      const changed = expect(
        context,
        await submit(context, call, { type: "set-lease", actor, name: params.name, fence, ttlMs: body.ttl_ms }),
        params.name,
        "done",
      );
      if (isFailure(changed))
        return changed.code === "lock_not_found" || changed.code === "stale_fence" ? lostLock(context, params.name, fence) : changed;
    }
    return renew(context, params.name, fence);
  },

  upgradeLock: async (call, context) => {
    const { body, params } = call;
    const actor = checkNumbers(body) ?? (await actorOfGrant(context, call, params.name, body));
    if (isFailure(actor)) return actor;
    const waitMs = body.wait_ms ?? 0;
    const command = {
      type: "upgrade",
      actor,
      name: params.name,
      fence: numberOf(body.fence),
      mode: (body.mode ?? "exclusive") as LockMode,
      waitMs,
    } as const;
    const answer = expect(context, await submit(context, call, command, waitMs), params.name, "granted");
    return isFailure(answer) ? answer : grantedJson(context, params.name, { session_id: actor.session }, answer, null);
  },

  downgradeLock: async (call, context) => {
    const { body, params } = call;
    const actor = checkNumbers(body) ?? (await actorOfGrant(context, call, params.name, body));
    if (isFailure(actor)) return actor;
    const command = {
      type: "downgrade",
      actor,
      name: params.name,
      fence: numberOf(body.fence),
      mode: (body.mode ?? "shared") as LockMode,
    } as const;
    const answer = expect(context, await submit(context, call, command), params.name, "granted");
    return isFailure(answer) ? answer : grantedJson(context, params.name, { session_id: actor.session }, answer, null);
  },

  cancelWait: async (call, context) => {
    const { body, params } = call;
    const bad = checkNumbers(body);
    if (bad !== null) return bad;
    if (isAnonymous(body)) return badField("owner", "the owner or session_id that waits");
    const command = { type: "cancel", actor: actorOf(call, body), name: params.name, caller: "", sequence: 0 } as const;
    const answer = expect(context, await submit(context, call, command), params.name, "done", "cancelled");
    return isFailure(answer) ? answer : ok({ cancelled: true, name: params.name, request_id: answer.requestId });
  },

  forceReleaseLock: async (call, context) => {
    const { body, params } = call;
    const bad = checkNumbers({ fence: body.fence });
    if (bad !== null) return bad;
    const command = {
      type: "force-release",
      principal: call.principal,
      name: params.name,
      fence: numberOf(body.fence),
      reason: body.reason,
    } as const;
    const answer = expect(context, await submit(context, call, command), params.name, "released", "done");
    if (isFailure(answer)) return answer;
    context.log.log("warn", "lock.forced", `lock ${params.name} was taken from its holder: ${body.reason}`, {
      name: params.name,
      fence: body.fence ?? null,
      reason: body.reason,
      principal: call.principal,
      request_id: call.request.id,
    });
    const grantedTo = answer.result.type === "released" ? answer.result.grantedTo : [];
    return ok({ released: true, name: params.name, granted_to: grantedTo, request_id: answer.requestId });
  },

  getLock: async ({ params, query }, context) => {
    const lock = await read(context, query.consistency ?? "linearizable", (view) => lockJson(context, view.lock(params.name)));
    if (isFailure(lock)) return lock;
    // A stale read is this node's own word, and never waits.
    return ok(query.consistency === "stale" ? lock : (await locksWithLeases(context, [lock]))[0]);
  },

  listLocks: async ({ query }, context) => {
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const page = await readListing(context, query.consistency ?? "linearizable", (view) => {
      const { locks, next } = view.locks(query.prefix ?? "", cursor, query.limit ?? httpLimits.defaultPageItems);
      return {
        locks: locks.map((lock) => lockJson(context, lock)),
        next_cursor: encodeCursor(next),
        total: view.lockCount(),
        waiters: view.waiterCount(),
      };
    });
    if (isFailure(page)) return page;
    return ok(query.consistency === "stale" ? page : { ...page, locks: await locksWithLeases(context, page.locks) });
  },
};
