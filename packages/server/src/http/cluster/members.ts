import type { raftRoutes } from "@trivet/contract";
import type { NodeApi } from "@trivet/engine";
import { badField, failure, ok, type Answer } from "../answer.ts";
import { unavailable, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { leadership, membersOf } from "./raft-view.ts";

type Change = Parameters<NodeApi["changeMembers"]>[0];

async function memberList(context: HttpContext): Promise<Answer> {
  const { leader, term } = leadership(context, context.node.status());
  return ok({ members: await membersOf(context), leader, term });
}

function change(context: HttpContext, wanted: Change): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // A learner must catch up before it votes: that takes as long as its snapshot.
    const timeoutMs = Math.max(60_000, context.config.http.requestTimeoutMs);
    context.node.changeMembers(wanted, timeoutMs, (outcome) => {
      if (outcome.type === "changed") memberList(context).then(resolve, reject);
      else if (outcome.type === "refused")
        resolve(failure("membership_refused", { values: { reason: `${outcome.reason}.` }, members: { reason: outcome.reason } }));
      else resolve(unavailable(context, outcome));
    });
  });
}

const longestUrl = 512;

/** Scheme, host and port, nothing else: it goes into the log for good, and every node dials it. */
function memberUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { origin, href } = new URL(text);
  return href === `${origin}/` && origin.length <= longestUrl ? origin : null;
}

export const memberHandlers: Some<Extract<keyof typeof raftRoutes, "listMembers" | "addMember" | "removeMember" | "replaceMember">> = {
  listMembers: (_call, context) => memberList(context),
  addMember: ({ body }, context) => {
    const url = memberUrl(body.url);
    if (url === null) return badField("url", "http://host:port without path, user or query");
    return change(context, { add: [{ node: body.node, url, voter: body.voter ?? true }] });
  },
  removeMember: ({ params }, context) => {
    const membership = context.node.status().groups[0]?.membership;
    const members: readonly string[] = [...(membership?.voters ?? []), ...(membership?.outgoing ?? []), ...(membership?.learners ?? [])];
    // Without a leader the local list may be old: then the change itself decides.
    if (membership !== undefined && !members.includes(params.node)) return failure("member_not_found", { values: { node: params.node } });
    return change(context, { remove: [params.node] });
  },
  replaceMember: ({ params }, context) => change(context, { replace: [params.node] }),
};
