import { httpLimits, type s0Routes, type s4Routes } from "@trivet/contract";
import { failure, ok, type Answer } from "../answer.ts";
import { isFailure, read, readListing, unavailable, type AnyCall, type Some } from "../calls.ts";
import { clientId } from "../client-id.ts";
import type { HttpContext } from "../context.ts";
import { acquire, leaseOf, lockKey, release, type AcquireRequest } from "../locks/lock-calls.ts";
import { locksWithLeases } from "../leases.ts";
import { decodeCursor, encodeCursor } from "../locks/locks.ts";
import { metricsOff, metricsText } from "../cluster/metrics.ts";
import { leaderOf } from "../cluster/leader.ts";
import { decimal } from "../outcomes.ts";
import { leaderJson, logPage } from "../cluster/raft.ts";
import { leadership, otherNodes } from "../cluster/raft-view.ts";
import { graphJson, s0LockJson } from "../views.ts";

const wantsPage = (accept: string | undefined): boolean => accept !== undefined && accept.includes("text/html");
const wantsText = (accept: string | undefined): boolean =>
  accept !== undefined && /text\/plain|application\/openmetrics-text/.test(accept) && !accept.includes("application/json");

const headerOwner = (call: AnyCall): string | undefined => clientId(call.request.headers);

const milliseconds = (seconds: number | undefined): number | undefined => (seconds === undefined ? undefined : Math.round(seconds * 1_000));

function first<T>(...values: readonly (T | undefined)[]): T | undefined {
  return values.find((value) => value !== undefined);
}

export const s0Handlers: Some<keyof typeof s0Routes> = {
  /** 200 as soon as the process listens: S0's container health check. A browser is sent to the page. */
  greeting: ({ request }, context) => {
    if (wantsPage(request.headers.accept)) return ok("", 302, { location: "/docs" });
    const status = context.node.status();
    return ok({
      message: `Hello from Node ${status.node}`,
      port: context.port(),
      peers: otherNodes(context, status),
      node_id: status.node,
      cluster_id: status.cluster,
      roles: [...context.config.roles],
      phase: status.phase,
      leader: leadership(context, status).leader,
      version: context.version,
      docs: "/docs",
    });
  },

  s0Acquire: async (call, context) => {
    const { query, body, params } = call;
    const owner = first(query.owner, body?.owner, headerOwner(call));
    const request: AcquireRequest = {
      owner,
      keys: [lockKey(params.name, first(query.lock_type, body?.lock_type))],
      ttl_ms: first(query.ttl_ms, body?.ttl_ms),
      wait_ms: first(query.wait_ms, milliseconds(query.timeout), body?.wait_ms, milliseconds(body?.timeout)),
    };
    const answer = await acquire(context, call, request);
    if (isFailure(answer)) return answer;
    const fence = decimal(answer.result.fence);
    return ok({
      status: "acquired",
      lock_name: params.name,
      lock_type: answer.result.mode,
      owner: answer.result.owner,
      leader: leaderOf(context).leader,
      fencing_token: fence,
      fence,
      expires_in_ms: leaseOf(context, request),
      request_id: answer.requestId,
    });
  },

  s0Status: async ({ params }, context) => {
    const { leader } = leaderOf(context);
    const lock = await read(context, "linearizable", (view) => s0LockJson(context, view.lock(params.name), leader));
    return isFailure(lock) ? lock : ok((await locksWithLeases(context, [lock]))[0]);
  },

  s0Release: async (call, context) => {
    const { params, query } = call;
    const owner = first(query.owner, headerOwner(call));
    const answer = await release(context, call, params.name, { owner, fence: query.fence });
    if (isFailure(answer)) return answer;
    const { result } = answer;
    return ok({
      status: "released",
      lock_name: params.name,
      released_by: answer.owner === "" ? "anonymous" : answer.owner,
      granted_to: result.grantedTo,
      fence: decimal(result.fence),
      remaining: result.remaining,
      request_id: answer.requestId,
    });
  },

  s0Locks: async ({ query }, context) => {
    const { leader } = leaderOf(context);
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const page = await readListing(context, "linearizable", (view) => {
      const { locks, next } = view.locks(query.prefix ?? "", cursor, query.limit ?? httpLimits.maxPageItems);
      // Built from entries with defined properties: a lock may be called `__proto__`.
      const byName = Object.fromEntries(locks.map((lock) => [lock.name, s0LockJson(context, lock, leader)]));
      const waits = new Map<string, Set<string>>();
      for (const edge of view.waitEdges(httpLimits.maxGraphEdges))
        waits.set(edge.waiter, (waits.get(edge.waiter) ?? new Set()).add(edge.holder));
      return {
        locks: byName,
        wait_for_graph: Object.fromEntries([...waits].map(([waiter, holders]) => [waiter, [...holders]])),
        leader,
        is_leader: leader !== null && leader === context.config.nodeId,
        total: view.lockCount(),
        next_cursor: encodeCursor(next),
      };
    });
    if (isFailure(page)) return page;
    const filled = await locksWithLeases(context, Object.values(page.locks));
    return ok({ ...page, locks: Object.fromEntries(Object.keys(page.locks).map((name, index) => [name, filled[index]])) });
  },

  /** `format` decides, then Accept: `*\/*`, as curl sends it, is JSON (X-05). */
  metrics: async ({ request, query }, context) => {
    const asText = query.format === undefined ? wantsText(request.headers.accept) : query.format !== "json";
    if (asText) return metricsText(context);
    if (!context.config.metricsEnabled) return metricsOff();
    return ok(await context.metrics.json(), 200, { "cache-control": "no-store" });
  },
};

async function appendAcquire(call: AnyCall, context: HttpContext, request: AcquireRequest): Promise<Answer> {
  const answer = await acquire(context, call, request);
  if (isFailure(answer)) return answer;
  return appended(context, answer.index, answer.result.owner, decimal(answer.result.fence), answer.requestId);
}

function appended(context: HttpContext, index: string | null, owner: string | null, fence: string, requestId: string): Answer {
  const at = index ?? decimal(context.node.status().groups[0]?.appliedIndex ?? 0);
  return ok({ status: "ok", success: true, index: at, owner, fence, fencing_token: fence, request_id: requestId });
}

export const s4Handlers: Some<keyof typeof s4Routes> = {
  s4Health: (_call, context) => {
    const status = context.node.status();
    const { leader, term, role } = leadership(context, status);
    if (leader !== null) return ok({ status: "ok", node_id: status.node, leader, term, role });
    const detail = status.phase === "running" ? "No leader is known to this node." : `${status.phase}: ${status.phaseDetail}`;
    return ok(
      { status: "no_leader", node_id: status.node, leader: null, term, role, code: "no_leader", detail, phase: status.phase },
      503,
      { "retry-after": "1" },
    );
  },

  s4Leader: (_call, context) => ok(leaderJson(context)),

  /** The leader proves itself to a quorum; a wrong leader or term never changes anything (X-31). */
  s4Heartbeat: ({ body }, context) => {
    const wrong = (): Answer | null => {
      const { leader, term } = leadership(context, context.node.status());
      const otherLeader = body?.leader !== undefined && body.leader !== null && body.leader !== leader;
      const otherTerm = body?.term !== undefined && body.term !== term;
      if (leader === null || (!otherLeader && !otherTerm)) return null;
      return failure("wrong_leader", { values: { leader, term }, members: { leader, term } });
    };
    const before = wrong();
    if (before !== null) return before;
    return new Promise((resolve) => {
      context.node.read("linearizable", context.config.http.requestTimeoutMs, (outcome) => {
        if (outcome.type !== "ready") {
          resolve(unavailable(context, outcome));
          return;
        }
        const group = context.node.status().groups[0];
        resolve(wrong() ?? ok({ status: "ok", leader: group?.leader ?? null, term: group?.term ?? 0 }));
      });
    });
  },

  /** S4's lock commands only; decided when the entry is applied, on every node alike. */
  s4Append: async (call, context) => {
    const { body } = call;
    const owner = first(body.owner, headerOwner(call));
    if (body.type === "acquire") return appendAcquire(call, context, { ...body, owner, keys: [lockKey(body.name, body.mode)], wait_ms: 0 });
    const answer = await release(context, call, body.name, { owner, fence: body.fence });
    if (isFailure(answer)) return answer;
    return appended(context, answer.index, answer.owner === "" ? null : answer.owner, decimal(answer.result.fence), answer.requestId);
  },

  s4Log: ({ query }, context) => ok(logPage(context, query)),

  s4Acquire: async (call, context) => {
    const { body } = call;
    const request: AcquireRequest = {
      ...body,
      owner: first(body.owner, body.session_id === undefined ? headerOwner(call) : undefined),
      keys: [lockKey(body.name, body.mode)],
    };
    const answer = await acquire(context, call, request);
    if (isFailure(answer)) return answer;
    const fence = decimal(answer.result.fence);
    return ok({
      success: true,
      status: "acquired",
      resource: body.name,
      owner: answer.result.owner,
      mode: answer.result.mode,
      fence,
      fencing_token: fence,
      expires_in_ms: leaseOf(context, body),
      ...leaderOf(context),
      request_id: answer.requestId,
    });
  },

  s4Release: async (call, context) => {
    const { body } = call;
    const owner = first(body.owner, body.session_id === undefined ? headerOwner(call) : undefined);
    const answer = await release(context, call, body.name, { ...body, owner });
    if (isFailure(answer)) return answer;
    const { result } = answer;
    return ok({
      success: true,
      status: "released",
      resource: body.name,
      owner: answer.owner === "" ? "anonymous" : answer.owner,
      fence: decimal(result.fence),
      remaining: result.remaining,
      granted_to: result.grantedTo,
      request_id: answer.requestId,
    });
  },

  s4WaitFor: async (_call, context) => {
    const graph = await read(context, "linearizable", (view) => {
      const { edges, json } = graphJson(context, view);
      const { edges: details, ...rest } = json;
      return { edges: edges.map((edge) => [edge.waiter, edge.holder]), details, ...rest };
    });
    return isFailure(graph) ? graph : ok(graph);
  },
};
