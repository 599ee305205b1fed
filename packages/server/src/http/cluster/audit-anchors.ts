import type { auditRoutes } from "@trivet/contract";
import type { AuditedNodeView, SystemView } from "@trivet/core";
import { featureLevels } from "@trivet/wire";
import { ok } from "../answer.ts";
import { isFailure, read, type Some } from "../calls.ts";
import { decimal } from "../outcomes.ts";

const nodeJson = ({ node, begun, chains }: AuditedNodeView, members: ReadonlySet<string>): Readonly<Record<string, unknown>> => ({
  node,
  member: members.has(node),
  logs_begun: begun,
  logs: chains.map(({ chain, number, anchors }) => ({
    chain,
    number,
    anchors: anchors.map(({ seq, mac, at }) => ({ seq: decimal(seq), mac, at_ms: at })),
  })),
});

function nodesJson(view: SystemView, wanted: string | undefined): readonly unknown[] {
  const members = new Set(view.nodes().map(({ node }) => node));
  const audited = view.auditedNodes().filter(({ node }) => wanted === undefined || node === wanted);
  return audited.map((one) => nodeJson(one, members));
}

export const auditHandlers: Some<keyof typeof auditRoutes> = {
  auditAnchors: async ({ query }, context) => {
    const nodes = await read(context, query.consistency ?? "linearizable", (view) => nodesJson(view, query.node));
    if (isFailure(nodes)) return nodes;
    return ok({ anchoring: (context.node.status().features.cluster ?? 0) >= featureLevels.anchors, nodes });
  },
};
