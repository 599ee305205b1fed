import type { backupRoutes } from "@trivet/contract";
import type { GroupExport } from "@trivet/engine";
import type { FastifyReply, FastifyRequest } from "fastify";
import { once } from "node:events";
import { GroupRecords } from "../../backup/group-stream.ts";
import { failure, taken, type Answer } from "../answer.ts";
import type { Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";

/** So long the reader may take for what was sent, and the node for the next piece; then the state that is held for it is let go. */
const stallMs = 30_000;

function open(context: HttpContext, group: number): Promise<GroupExport | null> {
  return new Promise((resolve) => context.node.exportGroup(group, context.config.http.requestTimeoutMs, resolve));
}

function nextChunk(opened: GroupExport): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => {
    opened.next((problem, chunk) => (problem === null ? resolve(chunk) : reject(new Error(problem))));
  });
}

/** At the pace of the reader: nothing is cut ahead of what it takes. */
async function stream(opened: GroupExport, reply: FastifyReply, signal: AbortSignal): Promise<void> {
  const { raw } = reply;
  const { cluster, node, group, shards, index, term, groupTime } = opened;
  const records = new GroupRecords();
  const send = async (bytes: Buffer): Promise<void> => {
    if (!raw.write(bytes)) await once(raw, "drain", { signal });
  };
  await send(records.begin({ cluster, node, group, shards, index, term, group_time_ms: Math.floor(groupTime) }));
  for (;;) {
    const chunk = await nextChunk(opened);
    if (signal.aborted) return;
    if (chunk === null) break;
    // A step of a large state may come without bytes.
    if (chunk.length > 0) await send(records.chunk(chunk));
  }
  raw.end(records.end());
}

/** A backup of a large group takes long, and the rights of its caller may end before it does. */
function whileAllowed({ identity, params, query, body }: FastifyRequest, { access }: HttpContext, cut: (why: string) => void): () => void {
  if (access === null || identity === null) return () => undefined;
  return access.whileAllowed(
    identity,
    () => access.whyNot(identity, "backupGroup", { params, query, body }),
    (_code, why) => cut(why),
  );
}

/** Takes the connection over. Whatever goes wrong now ends it without the group's end, by which the reader knows. */
function carry(opened: GroupExport, reply: FastifyReply, context: HttpContext): void {
  const { raw } = reply;
  const over = new AbortController();
  let sent = -1;
  const cut = (why: string): void => {
    if (over.signal.aborted) return;
    context.log.log("warn", "backup.cut", `the backup of group ${opened.group} was cut off: ${why}`, { request_id: reply.request.id });
    raw.destroy();
  };
  const watch = setInterval(() => {
    if (sent === raw.socket?.bytesWritten) cut("nothing could be sent for too long");
    sent = raw.socket?.bytesWritten ?? -1;
  }, stallMs);
  const release = context.onClose(() => cut("the node is stopping"));
  const forgetRights = whileAllowed(reply.request, context, cut);
  // A backup takes it last (rule W9): by then it has all others. Whether its file was kept, no node knows.
  if (opened.group === 0)
    raw.once("finish", () => context.metrics.set("backup_last_timestamp_seconds", Math.floor(context.wallNow() / 1_000)));
  raw.once("close", () => {
    over.abort();
    forgetRights();
    clearInterval(watch);
    release();
    opened.close();
  });
  stream(opened, reply, over.signal).catch((error: unknown) => cut(error instanceof Error ? error.message : String(error)));
}

async function exportGroup(group: number, reply: FastifyReply, context: HttpContext): Promise<Answer> {
  const here = context.node.status().groups.some((known) => known.group === group);
  if (!here) return failure("not_found", { values: { what: `A replica of group ${group} on ${context.config.nodeId}` } });
  const opened = await open(context, group);
  if (opened === null) {
    const detail = `${context.config.nodeId} could not bring group ${group} up to date with its leader; nothing changed.`;
    return failure("no_quorum", { detail, retryAfterMs: 1_000 });
  }
  reply.hijack();
  if (reply.raw.destroyed) {
    // The caller went away while the node was being brought up to date.
    opened.close();
    return taken;
  }
  reply.raw.writeHead(200, {
    "content-type": "application/octet-stream",
    "cache-control": "no-store",
    "x-request-id": reply.request.id,
  });
  carry(opened, reply, context);
  return taken;
}

export const backupHandlers: Some<keyof typeof backupRoutes> = {
  backupGroup: ({ params, reply }, context) => exportGroup(Number(params.group), reply, context),
};
