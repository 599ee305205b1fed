import type { FastifyInstance } from "fastify";
import { endSpan, traced, type Tracing } from "../observability/tracing.ts";
import type { HttpContext } from "./context.ts";

type Apis = Pick<HttpContext, "node" | "queues" | "cache">;

/** What a call asks of the node, each a span below the call's: commands through the log, reads, messages, cached values. */
export function tracedApis({ node, queues, cache }: Apis, tracing: Tracing): Apis {
  return {
    node: traced(node, "node", ["submit", "read"], tracing),
    queues: queues === null ? null : traced(queues, "queues", ["produce", "consume", "settle"], tracing),
    cache: cache === null ? null : traced(cache, "cache", ["get", "getMany", "put", "delete", "increment", "invalidate"], tracing),
  };
}

/** A span for each call, refused ones included. Before all other hooks. */
export function useTracing(app: FastifyInstance, tracing: Tracing): void {
  app.addHook("onRequest", (request, reply, done) => {
    const call = tracing.call(request.method, request.routeOptions.url ?? "other", request.id, request.headers);
    request.traced = call;
    // Of the connection, and not Fastify's own hook: a watch is taken over, and ends when its connection does.
    reply.raw.once("close", () => {
      const { statusCode, writableFinished } = reply.raw;
      const fault = statusCode >= 500 ? `HTTP ${statusCode}` : null;
      endSpan(call, { "http.response.status_code": statusCode, ...(writableFinished ? {} : { "trivet.abandoned": true }) }, fault);
    });
    done();
  });
}
