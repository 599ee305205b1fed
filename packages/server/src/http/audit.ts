import { errorCatalogue, routeOf, type RouteDefinition, type RouteId } from "@trivet/contract";
import type { Anchored, AnchorObstacle } from "@trivet/engine";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { AuditLog } from "../security/audit-log.ts";
import { furtherNeeds, rights } from "../security/rights.ts";
import { failure, FailureError, type Failure } from "./answer.ts";
import { principalOf } from "./calls.ts";

type Administration = NonNullable<RouteDefinition["administers"]>;

/** Whether this call administers, also where only what it carries needs that; null = it does not. */
function administration(id: RouteId | undefined, request: FastifyRequest): Administration | null {
  if (id === undefined) return null;
  const isAlways = rights[id]?.verb === "admin";
  // What no definition says is anchored: a new path must not be the one that is not.
  if (isAlways || furtherNeeds(id, request).some(({ right }) => right.verb === "admin")) return routeOf(id).administers ?? "anchored";
  return null;
}

export const mayAdminister = (id: RouteId): boolean => rights[id]?.verb === "admin" || routeOf(id).administers !== undefined;

/** What every line says of a call. Paths hold names and no secrets; bodies are left out. */
const callOf = (request: FastifyRequest): Readonly<Record<string, string>> => ({
  principal: principalOf(request),
  address: request.raw.socket.remoteAddress ?? "",
  call: `${request.method} ${request.url.split("?", 1)[0] ?? ""}`,
  request_id: request.id,
});

/**
 * Before something is administered it stands in the log, on disk, and what it changes is anchored in the cluster as well. Behind the check of who may: a
 * flood of the forbidden costs no syncs.
 */
export const auditing =
  (audit: AuditLog, id: RouteId, node: string) =>
  async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    const kind = administration(id, request);
    if (kind === null) return;
    try {
      await audit.append("admin", callOf(request));
    } catch {
      const detail = "The audit log of this node cannot be written, and nothing is administered that is not in it.";
      throw new FailureError(failure("storage_unavailable", { detail }), 507);
    }
    const anchored = audit.inCluster();
    // It is anchored as soon as that can be, but it is not held back: where there is no quorum people must see why.
    if (kind === "recorded") return;
    const refused = refusalOf(await anchored, node);
    if (refused !== null) throw new FailureError(refused, errorCatalogue[refused.code].status);
  };

function refusalOf(anchored: Anchored, node: string): Failure | null {
  switch (anchored.type) {
    case "anchored":
    // Below the level the printed head is what there is, as in the versions that the other members are of.
    case "below-level":
      return null;
    case "unavailable":
      return failure("audit_unanchored", {
        values: { node, reason: capital(anchored.detail) },
        members: { next: remedies[anchored.obstacle], reason: anchored.obstacle },
        retryAfterMs: anchored.retryAfterMs,
      });
    case "mismatch":
      return failure("audit_mismatch", { values: { node, reason: anchored.detail } });
  }
}

/** What helps, by what it is that stands in the way. */
const remedies: Readonly<Record<AnchorObstacle, string>> = {
  "no-majority":
    "Bring back the majority of the voters (GET /v1/raft/status shows who is missing), then send it again; or call another node, if it is this one that is cut off.",
  busy: "Send it again in a moment: the leader has too much to do, or this node has.",
  "full-disk":
    "Free space on the disk of the leader of group 0 (GET /v1/raft/status names it), then send it again. Its disk is all but full: a leader takes anchors until a quarter of the reserve is left.",
  "no-member":
    "Call a node that is a member (GET /v1/raft/status names them). Where this one is just joining, send it again when it has joined.",
  "unreadable-log":
    "Put the file that is named back beside AUDIT_LOG, or make it readable, then send it again: the node looks again by itself. Where it is lost, move the log and what was put aside of it away and start the node again. Other nodes administer meanwhile.",
  "same-log": "Stop the other program that runs with this AUDIT_LOG and NODE_ID, then send it again; or call another node.",
  starting: "Send it again in a moment, when the node has written the first record of its log.",
  stopping: "Call another node; this one administers again when it has been started.",
};

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** How it ended; and what was refused. */
export function useAudit(app: FastifyInstance, audit: AuditLog): void {
  app.addHook("onResponse", (request, reply, done) => {
    const { operation } = request.routeOptions.config as { readonly operation?: RouteId };
    const status = reply.statusCode;
    if (status === 401 || status === 403) audit.refused({ ...callOf(request), status });
    // The call is over: a line that cannot be written is told by the log itself, and the next call is refused.
    else if (administration(operation, request) !== null) void audit.append("done", { ...callOf(request), status }).catch(() => undefined);
    done();
  });
}
