import { routeIds, type RouteId } from "@trivet/contract";
import type { FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import type { AccessControl } from "../security/access-control.ts";
import type { Identity } from "../security/policy.ts";
import { rights } from "../security/rights.ts";
import { pathOf } from "./register.ts";
import { failure, type Failure } from "./answer.ts";
import { isFailure } from "./calls.ts";
import type { HttpContext } from "./context.ts";
import { callerName } from "./stream-commands.ts";
import type { StreamGate } from "./upgrade.ts";

const openRoutes: ReadonlySet<unknown> = new Set<RouteId>(routeIds.filter((id) => rights[id] === null));

/** What everybody may see: probes, and documents that are the same at every node. A path that is not known is not open. */
function isOpen(request: FastifyRequest): boolean {
  const { operation } = request.routeOptions.config as { readonly operation?: unknown };
  return operation === undefined ? /^\/docs(?:\/|$)/.test(pathOf(request.url)) : openRoutes.has(operation);
}

/** Finds out who calls, before anything of the call is looked at. Null = go on. */
export function authenticate(access: AccessControl, request: FastifyRequest): Failure | null | Promise<Failure | null> {
  if (isOpen(request)) return null;
  const known = (who: Identity | Failure): Failure | null => {
    if (isFailure(who)) return who;
    request.identity = who;
    return null;
  };
  const who = access.recognize(request.headers.authorization, request.raw.socket.remoteAddress);
  return who instanceof Promise ? who.then(known) : known(who);
}

/** Probes are never limited: a node that is not asked how it is would be taken for dead. */
export function limitRate(context: HttpContext, request: FastifyRequest): Failure | null {
  const { limiter, metrics } = context;
  if (limiter === null || isOpen(request)) return null;
  const retryAfterMs = limiter.take(callerName(request.identity, request.raw.socket.remoteAddress));
  if (retryAfterMs === null) return null;
  metrics.count("access_refused_total", 1, { reason: "rate" });
  const reason = "This caller is over its rate at this node (RATE_LIMIT_PER_SECOND).";
  return failure("too_many_requests", { values: { reason }, retryAfterMs });
}

/** `authenticate` for the stream, whose upgrade is no request that Fastify sees. */
export function streamGate(access: AccessControl | null): StreamGate {
  if (access === null) return () => null;
  const admitted = (who: Identity | Failure): Identity | Failure => (isFailure(who) ? who : (access.judgeStream(who) ?? who));
  return (request: IncomingMessage) => {
    const who = access.recognize(request.headers.authorization, request.socket.remoteAddress);
    return who instanceof Promise ? who.then(admitted) : admitted(who);
  };
}
