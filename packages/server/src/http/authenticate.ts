import { errorCatalogue, routeIds, type RouteId } from "@trivet/contract";
import type { FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import type { AccessControl } from "../security/access-control.ts";
import type { AuditLog } from "../security/audit-log.ts";
import type { Identity } from "../security/policy.ts";
import { rights } from "../security/rights.ts";
import { WrongCredentials } from "../security/wrong-credentials.ts";
import { pathOf } from "./register.ts";
import { failure, type Failure } from "./answer.ts";
import { isFailure } from "./calls.ts";
import { anonymousPrincipal, type HttpContext } from "./context.ts";
import { crossSite } from "./cross-site.ts";
import { callerName } from "./stream/stream-commands.ts";
import type { StreamGate } from "./upgrade.ts";

const openRoutes: ReadonlySet<unknown> = new Set<RouteId>(routeIds.filter((id) => rights[id] === null));

/** What everybody may see: probes, and documents that are the same at every node. A path that is not known is not open. */
function isOpen(request: FastifyRequest): boolean {
  const { operation } = request.routeOptions.config as { readonly operation?: unknown };
  return operation === undefined ? /^\/docs(?:\/|$)/.test(pathOf(request.url)) : openRoutes.has(operation);
}

/** Whose credential it is, or why nobody's. A promise for tokens that were not seen before. */
export type Recognize = (request: IncomingMessage) => Known | Promise<Known>;
type Known = Identity | Failure;

/** Wrong credentials have a limit for each address: what is beyond it is not looked at. A call without any guesses nothing. */
export function recognizer({ metrics, log }: Pick<HttpContext, "metrics" | "log">, access: AccessControl, now: () => number): Recognize {
  const wrong = new WrongCredentials(now);
  const refuse = (address: string, retryAfterMs: number): Failure => {
    const reason = "Too many wrong credentials came from this address; this one was not looked at.";
    metrics.count("access_refused_total", 1, { reason: "guesses" });
    log.log("warn", "access.refused", `a caller was refused: ${reason}`, { reason: "guesses", address });
    return failure("too_many_requests", { values: { reason }, retryAfterMs });
  };
  return ({ headers: { authorization = "" }, socket: { remoteAddress: address = "" } }) => {
    if (authorization === "") return access.recognize(authorization, address);
    const retryAfterMs = wrong.wait(address, authorization);
    if (retryAfterMs !== null) return refuse(address, retryAfterMs);
    const who = access.recognize(authorization, address);
    if (!(who instanceof Promise)) {
      if (isFailure(who)) wrong.take(address);
      else wrong.right(address, authorization);
      return who;
    }
    // Taken before it is known: any number could be looked at otherwise, if they come while none is known to be wrong yet.
    wrong.take(address);
    return who.then((known) => {
      if (isFailure(known)) return known;
      wrong.right(address, authorization);
      wrong.giveBack(address);
      return known;
    });
  };
}

/** Finds out who calls, before anything of the call is looked at. Null = go on. */
export function authenticate(recognize: Recognize, request: FastifyRequest): Failure | null | Promise<Failure | null> {
  if (isOpen(request)) return null;
  const known = (who: Known): Failure | null => {
    if (isFailure(who)) return who;
    request.identity = who;
    return null;
  };
  const who = recognize(request.raw);
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

/** `authenticate` for the stream, whose upgrade is no request that Fastify sees; nor do its hooks see what is refused, so that is audited here. */
export function streamGate(recognize: Recognize | null, access: AccessControl | null, audit: AuditLog | null): StreamGate {
  return (request) => {
    const refused = (why: Failure, principal = anonymousPrincipal): Failure => {
      const { status } = errorCatalogue[why.code];
      if (status === 401 || status === 403) audit?.refused({ ...upgradeOf(request), principal, status });
      return why;
    };
    const foreign = crossSite(request);
    if (foreign !== null) return refused(foreign);
    if (recognize === null || access === null) return null;
    const admitted = (who: Known): Known => {
      if (isFailure(who)) return refused(who);
      const why = access.judgeStream(who);
      return why === null ? who : refused(why, who.principal);
    };
    const who = recognize(request);
    return who instanceof Promise ? who.then(admitted) : admitted(who);
  };
}

/** As the audit log tells of a call; an upgrade has no id. */
const upgradeOf = ({ method = "GET", url = "/", socket }: IncomingMessage): Readonly<Record<string, string>> => ({
  address: socket.remoteAddress ?? "",
  call: `${method} ${pathOf(url)}`,
});
