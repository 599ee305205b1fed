import { routeIds, routeOf, serviceOf, type RouteDefinition, type RouteId } from "@trivet/contract";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { auditing, mayAdminister } from "./audit.ts";
import { failure, FailureError, type Answer, type Failure } from "./answer.ts";
import { principalOf, type Call, type Handlers } from "./calls.ts";
import { clientIdFault } from "./client-id.ts";
import type { AccessControl } from "../security/access-control.ts";
import type { Traced } from "../observability/tracing.ts";
import type { HttpContext } from "./context.ts";
import { canonicalFields } from "./fields.ts";
import { completed } from "./leases.ts";
import type { Identity } from "../security/policy.ts";
import { isS4Path, notFound } from "./not-found.ts";
import { buildProblem, failureOf, problemContentType } from "./problems.ts";
import { RoleProxy } from "./role-proxy.ts";
import { asWritten, type Sent, type Written } from "./written.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Of the contract's table; absent on paths that are not in it. */
    operation?: RouteId;
    legacy?: boolean;
    takes?: boolean;
  }
  interface FastifyRequest {
    /** How the caller wrote the fields of this call; null before they were looked at, and where names have one spelling. */
    written: Written | null;
    /** Whose credential the call carried; null without access control, and on paths that ask for none. */
    identity: Identity | null;
    /** Its span; null where nothing is traced. */
    traced: Traced | null;
  }
}

/** Answers that go on for long, or are large: not made for a HEAD. */
const streamed: ReadonlySet<string> = new Set(["text/event-stream", "application/octet-stream"]);
const noQuery = Type.Object({}, { additionalProperties: false });

export function sendFailure(reply: FastifyReply, reason: Failure, legacy: boolean): FastifyReply {
  const problem = buildProblem(reason, reply.request.id, legacy);
  // Set again: errors before the first hook have no id in their headers yet.
  return reply
    .code(problem.status)
    .header("x-request-id", reply.request.id)
    .headers(problem.headers)
    .type(problemContentType)
    .send(JSON.stringify(problem.body));
}

function send(reply: FastifyReply, answer: Answer, legacy: boolean): FastifyReply {
  if (answer.type === "taken") return reply;
  if (answer.type === "failure") return sendFailure(reply, answer, legacy);
  reply.code(answer.status).headers(answer.headers ?? {});
  if (answer.contentType !== undefined) return reply.type(answer.contentType).send(answer.body);
  return reply.type("application/json; charset=utf-8").send(JSON.stringify(answer.body));
}

function schemaOf(definition: RouteDefinition): Record<string, unknown> {
  const query = definition.query ?? (definition.looseQuery === true ? undefined : noQuery);
  return {
    ...(definition.params === undefined ? {} : { params: definition.params }),
    ...(query === undefined ? {} : { querystring: query }),
    ...(definition.body === undefined ? {} : { body: definition.body }),
  };
}

/** T-14: this node does not have the service. `peers` of the answer are those that have; calls are passed on to them. */
function missingRole(context: HttpContext, service: "lock" | "queue" | "cache" | null): Failure | null {
  const { roles, elsewhere } = context.config;
  if (service === null) return null;
  if (roles.includes(service)) {
    const absent = (service === "queue" && context.queues === null) || (service === "cache" && context.cache === null);
    return absent ? failure("not_available_yet", { values: { what: `The ${service}` } }) : null;
  }
  const peers = elsewhere[service].map((peer) => peer.url);
  return failure("role_not_enabled", {
    values: { what: `The ${service} service`, roles: roles.join(", ") },
    members: { roles: [...roles], peers },
  });
}

/** Is this caller allowed to do this to these? */
const judging =
  (access: AccessControl, id: RouteId) =>
  (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const refused = request.identity === null ? null : access.judge(request.identity, id, request);
    done(refused === null ? undefined : new FailureError(refused, 403));
  };

/** None where nobody is asked who they are and nothing is audited. */
const guards = ({ access, audit, config }: HttpContext, id: RouteId): (ReturnType<typeof judging> | ReturnType<typeof auditing>)[] => [
  ...(access === null ? [] : [judging(access, id)]),
  ...(audit === null || !mayAdminister(id) ? [] : [auditing(audit, id, config.nodeId)]),
];

type AnyHandler = (call: Call<RouteId>, context: HttpContext) => Answer | Promise<Answer>;

function registerOne(app: FastifyInstance, id: RouteId, handler: AnyHandler, context: HttpContext, proxy: RoleProxy): void {
  const definition = routeOf(id);
  const legacy = definition.alias?.source === "S4";
  const service = serviceOf(definition);
  const elsewhere = missingRole(context, service);
  const peers = elsewhere?.code === "role_not_enabled" && service !== null ? context.config.elsewhere[service].map(({ url }) => url) : [];
  app.route({
    method: definition.method,
    url: definition.path,
    schema: schemaOf(definition),
    config: { operation: id, legacy, takes: definition.takes === true },
    ...(definition.maxBodyBytes === undefined ? {} : { bodyLimit: definition.maxBodyBytes }),
    // A watch would hold a HEAD request open for ever; a HEAD that takes a message would lose it.
    exposeHeadRoute: !streamed.has(definition.contentType ?? "") && id !== "stream" && definition.takes !== true,
    onRequest: (request, reply, done) => {
      if (peers.length === 0 || RoleProxy.hasHopped(request)) done();
      else proxy.pass(request, reply, peers, (why) => void sendFailure(reply, why, legacy)).catch(done);
    },
    preValidation: (request, _reply, done) => {
      if (elsewhere !== null) {
        done(new FailureError(elsewhere, 404));
        return;
      }
      // Nobody has checked it, so nobody may go by it: neither the handler nor the rights.
      if (definition.body === undefined) request.body = undefined;
      if (definition.bodyOptional === true) request.body ??= {};
      const wrong = canonicalFields(definition, request) ?? (definition.alias === undefined ? null : clientIdFault(request.headers));
      done(wrong === null ? undefined : new FailureError(wrong, 400));
    },
    // After the check of the body: only then it is known which names a call is about.
    preHandler: guards(context, id),
    handler: async (request, reply) => {
      const call = {
        id,
        params: request.params,
        query: request.query,
        body: request.body,
        principal: principalOf(request),
        request,
        reply,
      };
      const { traced } = request;
      const run = (): Answer | Promise<Answer> => handler(call as Call<RouteId>, context);
      const given = context.tracing === null || traced === null ? run() : context.tracing.within(traced, run);
      const answer = await completed(context, await given);
      return send(reply, answer.type === "failure" ? asWritten(answer, request.written) : answer, legacy);
    },
  });
}

export const isLegacy = (request: FastifyRequest): boolean =>
  (request.routeOptions.config as { legacy?: boolean }).legacy ?? isS4Path(pathOf(request.url));
function sentOf(request: FastifyRequest): Sent | null {
  const { operation } = request.routeOptions.config as { operation?: RouteId };
  return operation === undefined
    ? null
    : { definition: routeOf(operation), body: request.body, query: request.query, written: request.written };
}
export const pathOf = (url: string): string => url.split("?", 1)[0] ?? url;

/** Registers exactly the contract's table, and what happens to everything that is not in it. */
export function registerRoutes(app: FastifyInstance, handlers: Handlers, context: HttpContext): void {
  app.decorateRequest("written", null);
  app.decorateRequest("identity", null);
  app.decorateRequest("traced", null);
  const proxy = new RoleProxy(context);
  for (const id of routeIds) registerOne(app, id, handlers[id], context, proxy);
  app.setNotFoundHandler((request, reply) => sendFailure(reply, notFound(request.method, pathOf(request.url)), isLegacy(request)));
  app.setErrorHandler((error, request, reply) => {
    const known = failureOf(error, sentOf(request));
    if (known === null) {
      const { stack, message } = error instanceof Error ? error : new Error(String(error));
      context.log.log("error", "http.fault", `${request.method} ${pathOf(request.url)} failed: ${message}`, {
        request_id: request.id,
        stack,
      });
    }
    return sendFailure(reply, known ?? failure("internal", { values: { node: context.config.nodeId } }), isLegacy(request));
  });
}
