import type { BrowsedMessage, BrowseState, QueueView } from "@trivet/core";
import type { PartitionStats, QueueStorage } from "../ports/queue-storage.ts";
import type { Unavailable } from "../node/node-api.ts";
import type { Call, PartitionCommands } from "./partition-commands.ts";
import type { QueueDetails, QueueFailure } from "./queues-api.ts";
import { formatMessageId } from "./receipts.ts";

type Browsed = {
  readonly type: "browsed";
  readonly messages: readonly (BrowsedMessage & { readonly id: string })[];
  readonly next: string | null;
};

export function lookAtDetails(
  storage: QueueStorage,
  commands: PartitionCommands,
  queue: QueueView,
  call: Call,
  done: (outcome: QueueDetails | QueueFailure) => void,
): void {
  const count = queue.definition.partitions;
  const partitions: PartitionStats[] = [];
  let failure: Unavailable | null = null;
  let answers = 0;
  for (let partition = 0; partition < count; partition++) {
    storage.query({ type: "stats", queue: queue.queue, partition }, commands.left(call), (reply) => {
      if (reply.type === "stats") partitions[partition] = reply.stats;
      else if (reply.type === "unavailable") failure = reply;
      if (++answers === count) done(failure ?? { type: "details", queue, partitions });
    });
  }
}

/** One partition after the other; the cursor says which, and where in it. */
export function browse(
  storage: QueueStorage,
  commands: PartitionCommands,
  queue: QueueView,
  request: { readonly state: BrowseState; readonly cursor: string; readonly limit: number },
  call: Call,
  done: (outcome: Browsed | QueueFailure) => void,
): void {
  const place = placeOf(request.cursor);
  if (place === null) return done({ type: "malformed", detail: "cursor: as in an earlier answer" });
  const { definition, queue: number } = queue;
  const messages: (BrowsedMessage & { readonly id: string })[] = [];
  const step = (partition: number, cursor: string): void => {
    if (partition >= definition.partitions) return done({ type: "browsed", messages, next: null });
    if (messages.length >= request.limit) return done({ type: "browsed", messages, next: `${partition}~${cursor}` });
    const query = {
      type: "browse",
      queue: number,
      partition,
      state: request.state,
      cursor,
      limit: request.limit - messages.length,
    } as const;
    return storage.query(query, commands.left(call), (reply) => {
      if (reply.type === "unavailable") return done(reply);
      if (reply.type !== "browsed") return done({ type: "not-supported", detail: "browse" });
      for (const message of reply.messages) {
        messages.push({ ...message, id: formatMessageId({ queue: number, partition: message.partition, sequence: message.sequence }) });
      }
      // A page that ended early was large enough; an empty one is no answer yet.
      if (reply.next !== null && messages.length > 0) return done({ type: "browsed", messages, next: `${partition}~${reply.next}` });
      return reply.next === null ? step(partition + 1, "") : step(partition, reply.next);
    });
  };
  return step(place.partition, place.cursor);
}

function placeOf(cursor: string): { readonly partition: number; readonly cursor: string } | null {
  if (cursor === "") return { partition: 0, cursor: "" };
  const match = /^(\d{1,4})~([\w.-]{0,128})$/.exec(cursor);
  return match === null ? null : { partition: Number(match[1]), cursor: match[2] ?? "" };
}
