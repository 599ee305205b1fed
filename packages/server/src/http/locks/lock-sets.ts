import type { lockRoutes } from "@trivet/contract";
import { badField, ok } from "../answer.ts";
import { isFailure, submit, type Some } from "../calls.ts";
import { acquire, actorOfGrant, checkNumbers, isAnonymous, leaseOf, lockKey, numberOf } from "./lock-calls.ts";
import { leaderOf } from "../cluster/leader.ts";
import { decimal, expect, sessionOf } from "../outcomes.ts";

type SetRouteId = Extract<keyof typeof lockRoutes, "acquireLockSet" | "releaseLockSet">;

function duplicate(names: readonly string[]): number {
  return names.findIndex((name, index) => names.indexOf(name) !== index);
}

export const lockSetHandlers: Some<SetRouteId> = {
  acquireLockSet: async (call, context) => {
    const { body } = call;
    if (isAnonymous(body)) return badField("owner", "an owner or a session_id");
    const twice = duplicate(body.locks.map((lock) => lock.name));
    if (twice >= 0) return badField(`locks[${twice}].name`, "every name once");
    const keys = body.locks.map((lock) => lockKey(lock.name, lock.mode));
    const answer = await acquire(context, call, { ...body, keys });
    if (isFailure(answer)) return answer;
    const { result } = answer;
    const first = keys[0];
    return ok({
      granted: true,
      owner: result.owner,
      session_id: sessionOf(numberOf(body.session_id)),
      locks: [{ name: first?.name, fence: result.fence, mode: result.mode }, ...result.more].map((lock) => ({
        name: lock.name,
        mode: lock.mode,
        fence: decimal(lock.fence),
      })),
      expires_in_ms: leaseOf(context, body),
      ...leaderOf(context),
      request_id: answer.requestId,
    });
  },

  releaseLockSet: async (call, context) => {
    const { body } = call;
    const twice = duplicate(body.locks.map((lock) => lock.name));
    if (twice >= 0) return badField(`locks[${twice}].name`, "every name once");
    const bad = checkNumbers(body) ?? body.locks.map((lock) => checkNumbers(lock)).find((fault) => fault !== null);
    if (bad !== null && bad !== undefined) return bad;
    const first = body.locks[0];
    if (first === undefined) return badField("locks", "at least one lock");
    const actor = await actorOfGrant(context, call, first.name, { ...body, fence: first.fence });
    if (isFailure(actor)) return actor;
    const command = {
      type: "release-set",
      actor,
      locks: body.locks.map((lock) => ({ name: lock.name, fence: numberOf(lock.fence) })),
    } as const;
    const answer = expect(context, await submit(context, call, command), first.name, "released", "done");
    return isFailure(answer) ? answer : ok({ released: true, names: body.locks.map((lock) => lock.name), request_id: answer.requestId });
  },
};
