import type { RouteId } from "@trivet/contract";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { AuditLog } from "../security/audit-log.ts";
import { rights } from "../security/rights.ts";
import { failure, FailureError } from "./answer.ts";
import { principalOf } from "./calls.ts";

export const isAdministration = (id: RouteId | undefined): boolean => id !== undefined && rights[id]?.verb === "admin";

/** What every line says of a call. Paths hold names and no secrets; bodies are left out. */
const callOf = (request: FastifyRequest): Readonly<Record<string, string>> => ({
  principal: principalOf(request),
  address: request.raw.socket.remoteAddress ?? "",
  call: `${request.method} ${request.url.split("?", 1)[0] ?? ""}`,
  request_id: request.id,
});

/** Before something is administered it stands in the log, on disk. Behind the check of who may: a flood of the forbidden costs no syncs. */
export const auditing =
  (audit: AuditLog) =>
  async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    try {
      await audit.append("admin", callOf(request));
    } catch {
      const detail = "The audit log of this node cannot be written, and nothing is administered that is not in it.";
      throw new FailureError(failure("storage_unavailable", { detail }), 507);
    }
  };

/** How it ended; and what was refused. */
export function useAudit(app: FastifyInstance, audit: AuditLog): void {
  app.addHook("onResponse", (request, reply, done) => {
    const { operation } = request.routeOptions.config as { readonly operation?: RouteId };
    const status = reply.statusCode;
    if (status === 401 || status === 403) audit.refused({ ...callOf(request), status });
    // The call is over: a line that cannot be written is told by the log itself, and the next call is refused.
    else if (isAdministration(operation)) void audit.append("done", { ...callOf(request), status }).catch(() => undefined);
    done();
  });
}
