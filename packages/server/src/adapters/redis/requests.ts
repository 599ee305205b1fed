import type { Consume, CreateGroup, DeleteGroup, Produce, PurgeQueue, QueueDefinition, Receipt, Redrive, Settle } from "@trivet/wire";
import type { SubmitOptions } from "@trivet/engine";
import { consumerGone, createGroup, deleteGroup, drop, pump, purge, redrive } from "./lua/care.ts";
import { consume, produce, settle } from "./lua/flow.ts";
import { browse, recall, stats } from "./lua/look.ts";
import { redisLimits } from "./limits.ts";
import type { RedisArguments } from "./link.ts";
import { Script } from "./script.ts";

export type ScriptName = PartitionCommand["type"] | "consumer-gone" | "pump" | "drop" | "stats" | "browse" | "recall";

export const scripts: Readonly<Record<ScriptName, Script>> = {
  produce: new Script(produce),
  consume: new Script(consume),
  settle: new Script(settle),
  "create-group": new Script(createGroup),
  "delete-group": new Script(deleteGroup),
  "consumer-gone": new Script(consumerGone),
  "purge-queue": new Script(purge),
  redrive: new Script(redrive),
  pump: new Script(pump),
  drop: new Script(drop),
  stats: new Script(stats),
  browse: new Script(browse),
  recall: new Script(recall),
};

/** Of a connection that is new: before anything else is sent over it. */
export async function loadScripts(send: (args: RedisArguments) => Promise<unknown>): Promise<void> {
  await Promise.all(Object.values(scripts).map((script) => script.load(send)));
}

/** What the scripts know of a queue: they keep no definitions, each call brings the one that this node has (rule G1). */
export function definitionText(queue: number, definition: QueueDefinition): string {
  const { visibilityMs, maxDeliveries, maxAcquired, backoffMs, maxMessages, maxBytes } = definition;
  const { ttlMs, dedupeWindowMs, maxLeased, ratePerSecond, paused } = definition;
  const lengths = { maxMessages, maxBytes, ttlMs, dedupeWindowMs, maxLeased, ratePerSecond, paused };
  return JSON.stringify({ queue, visibilityMs, maxDeliveries, maxAcquired, backoffMs, ...lengths });
}

/** What a script is told beside the keys and the definition. */
export interface Request {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly bytes: RedisArguments;
}
export type PartitionCommand = Produce | Consume | Settle | CreateGroup | DeleteGroup | PurgeQueue | Redrive;

/** Why Redis cannot be asked such a thing, or null. */
export function problemOf(command: PartitionCommand, partition: number, definition: QueueDefinition): string | null {
  if (partition >= definition.partitions) {
    return `queue ${definition.name} has partitions 0 to ${definition.partitions - 1}, not ${partition}`;
  }
  if (command.type !== "produce") return null;
  if (command.ifFence !== null) return noFences;
  const wrong = command.messages.find(({ priority }) => priority > lowestPriority);
  return wrong === undefined ? null : `priorities are 0 to ${lowestPriority}, not ${wrong.priority}`;
}
/** Rule K5. */
export const noFences = "queues on Redis take no fences: no lock's log reaches it";
/** Of a produce that asks for `ack`. */
export const noQuorum = "ack of queues on Redis is primary, aof or replicas:N";
const lowestPriority = 3;

export function requestOf(command: PartitionCommand): Request {
  switch (command.type) {
    case "produce":
      return {
        fields: { messages: command.messages.map(({ priority, delayMs, dueAt, ttlMs }) => [priority, delayMs, dueAt, ttlMs]) },
        bytes: command.messages.flatMap(({ key, dedupId, headers, body }) => [
          key,
          dedupId,
          headers.length === 0 ? "" : JSON.stringify(headers),
          Buffer.from(body.buffer, body.byteOffset, body.byteLength),
        ]),
      };
    case "consume": {
      const { group, consumer, maxMessages, maxBytes, visibilityMs, autoAck, start } = command;
      const latest = start.type === "latest";
      return { fields: { group, consumer, maxMessages, maxBytes, visibilityMs, autoAck, latest }, bytes: [] };
    }
    case "settle": {
      const { group, settlement, delayMs, reason } = command;
      return { fields: { group, settlement, delayMs, reason, receipts: command.receipts.map(named) }, bytes: [] };
    }
    case "create-group":
      return { fields: { group: command.group, latest: command.start.type === "latest" }, bytes: [] };
    case "delete-group":
      return { fields: { group: command.group }, bytes: [] };
    case "purge-queue":
      return { fields: { dead: command.dead, after: [0, 0] }, bytes: [] };
    case "redrive":
      return { fields: { sequences: command.sequences, limit: command.limit }, bytes: [] };
  }
}

function named({ sequence, acquired, incarnation }: Receipt): readonly [number, number, number] {
  return [sequence, acquired, incarnation];
}

/** Under which the answer is kept, so that a retry takes effect once (rule X2). */
export function callerFields({ idempotency, timeoutMs }: SubmitOptions): Readonly<Record<string, unknown>> {
  if (idempotency === undefined) return {};
  return { caller: idempotency.key, fingerprint: idempotency.fingerprint, keepMs: timeoutMs + redisLimits.keepAnswersMs };
}
