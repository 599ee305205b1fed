import type { SessionView } from "@trivet/core";
import { httpLimits, type sessionRoutes } from "@trivet/contract";
import { allows } from "../../security/policy.ts";
import { failure, ok, type Answer, type Failure } from "../answer.ts";
import { isFailure, read, submit, unavailable, type AnyCall, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decimal, expect } from "../outcomes.ts";

const lost = (id: string): Answer => failure("session_not_found", { values: { session: id } });

function sessionJson(context: HttpContext, session: SessionView): Readonly<Record<string, unknown>> {
  const left = context.node.leaseLeft("session", session.session);
  return {
    session_id: decimal(session.session),
    label: session.label,
    ttl_ms: session.ttlMs,
    lock_delay_ms: session.lockDelayMs,
    expires_in_ms: left === null ? null : Math.max(0, Math.round(left)),
    locks: session.locks,
    waiters: session.waiters,
    age_ms: Math.max(0, Math.round(context.wallNow() - session.openedAt)),
  };
}

/**
 * Session ids are counted, so they can be guessed. The log checks whose a session is where a lock is concerned; who asks about the session
 * itself is told that there is none, unless it is theirs.
 */
async function isForeign(call: AnyCall, context: HttpContext, id: string): Promise<boolean | Failure> {
  const { identity } = call.request;
  if (identity === null || allows(identity, "admin", "locks", null)) return false;
  const principal = await read(context, "linearizable", (view) => view.session(Number(id))?.principal ?? null);
  return isFailure(principal) ? principal : principal !== identity.principal;
}

const isSafe = (id: string): boolean => Number.isSafeInteger(Number(id));

export const sessionHandlers: Some<keyof typeof sessionRoutes> = {
  openSession: async (call, context) => {
    const {
      ttl_ms: ttlMs = context.config.locks.sessionTtlMs,
      lock_delay_ms: lockDelayMs = context.config.locks.delayMs,
      label = "",
    } = call.body ?? {};
    const command = { type: "open-session", ttlMs, lockDelayMs, principal: call.principal, label } as const;
    const answer = expect(context, await submit(context, call, command), "", "session-opened");
    if (isFailure(answer)) return answer;
    const { result } = answer;
    return ok(
      {
        session_id: decimal(result.session),
        ttl_ms: result.ttlMs,
        lock_delay_ms: lockDelayMs,
        expires_in_ms: result.ttlMs,
        request_id: answer.requestId,
      },
      201,
      { location: `/v1/sessions/${result.session}` },
    );
  },

  keepSession: async (call, context) => {
    const id = call.params.session_id;
    if (!isSafe(id)) return lost(id);
    const foreign = await isForeign(call, context, id);
    if (foreign !== false) return foreign === true ? lost(id) : foreign;
    return new Promise((resolve) => {
      context.node.keepAlive([Number(id)], context.config.http.requestTimeoutMs, (outcome) => {
        if (outcome.type !== "alive") resolve(unavailable(context, outcome));
        else if (!outcome.sessions.includes(Number(id))) resolve(lost(id));
        else resolve(extended(context, id));
      });
    });
  },

  getSession: async (call, context) => {
    const id = call.params.session_id;
    const foreign = isSafe(id) && (await isForeign(call, context, id));
    if (foreign !== false) return foreign === true ? lost(id) : foreign;
    const session = await read(context, "linearizable", (view) => {
      const found = isSafe(id) ? view.session(Number(id)) : null;
      return found === null ? null : sessionJson(context, found);
    });
    if (isFailure(session)) return session;
    return session === null ? lost(id) : ok(session);
  },

  listSessions: async ({ query }, context) => {
    const page = await read(context, "linearizable", (view) => {
      const { sessions, next } = view.sessions(Number(query.cursor ?? "0"), query.limit ?? httpLimits.defaultPageItems);
      return {
        sessions: sessions.map((session) => sessionJson(context, session)),
        next_cursor: next === null ? null : decimal(next),
        total: view.sessionCount(),
      };
    });
    return isFailure(page) ? page : ok(page);
  },

  closeSession: async (call, context) => {
    const id = call.params.session_id;
    if (!isSafe(id)) return lost(id);
    const foreign = await isForeign(call, context, id);
    if (foreign !== false) return foreign === true ? lost(id) : foreign;
    const answer = expect(context, await submit(context, call, { type: "close-session", session: Number(id) }), id, "done");
    return isFailure(answer) ? answer : ok({ closed: true, session_id: id, request_id: answer.requestId });
  },
};

/** The time to live comes from the local state, which may lag behind a session opened just now. */
async function extended(context: HttpContext, id: string): Promise<Answer> {
  const ttlMs = await read(context, "stale", (view) => view.session(Number(id))?.ttlMs ?? null);
  const known = isFailure(ttlMs) ? null : ttlMs;
  return ok({ session_id: id, ttl_ms: known, expires_in_ms: known });
}
