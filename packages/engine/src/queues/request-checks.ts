import { type NewMessage, isWellFormedText, limits, utf8Length } from "@trivet/wire";
import type { ConsumeRequest, ProduceRequest, SettleRequest } from "./queues-api.ts";

/** Lanes of a partition. */
const lowestPriority = 3;
/** Room in a frame for what is not of the messages. */
const frameRoom = 4096;
/** Of a message, beside its texts and its body. */
const messageRoom = 64;

/** What is wrong with a request that the wire cannot carry; null = nothing. Each names the field and what was expected. */
export function produceProblem({ messages, ifFence }: ProduceRequest): string | null {
  const count = messages.length;
  if (count < 1 || count > limits.maxMessagesPerCommand) return `messages: 1 to ${limits.maxMessagesPerCommand}`;
  let bytes = 0;
  for (const message of messages) {
    const problem = messageProblem(message);
    if (problem !== null) return problem;
    bytes += sizeOf(message);
  }
  if (bytes > limits.maxFrameBytes - frameRoom) return `messages: ${limits.maxFrameBytes - frameRoom} bytes together at most`;
  if (ifFence === null) return null;
  return textProblem("if_fence.lock", ifFence.lock, limits.maxNameBytes, 1) ?? integerProblem("if_fence.fence", ifFence.fence);
}

export function consumeProblem({ group, consumer, maxMessages, maxBytes, visibilityMs, waitMs, partition }: ConsumeRequest): string | null {
  return (
    groupProblem(group) ??
    textProblem("consumer", consumer, limits.maxKeyBytes) ??
    integerProblem("max", maxMessages, limits.maxMessagesPerCommand, 1) ??
    integerProblem("max_bytes", maxBytes) ??
    integerProblem("visibility_ms", visibilityMs, limits.maxDurationMs) ??
    integerProblem("wait_ms", waitMs, limits.maxDurationMs) ??
    integerProblem("partition", partition ?? 0, limits.maxPartitions - 1)
  );
}

export function settleProblem({ receipts, delayMs, settlement }: SettleRequest): string | null {
  if (receipts.length < 1 || receipts.length > limits.maxMessagesPerCommand) return `receipts: 1 to ${limits.maxMessagesPerCommand}`;
  if (settlement === "extend" && delayMs === 0) return "delay_ms: at least 1, or left out";
  return integerProblem("delay_ms", delayMs, limits.maxDurationMs, -1);
}

export function groupProblem(group: string): string | null {
  return textProblem("group", group, limits.maxKeyBytes, 1);
}

export function textProblem(field: string, text: string, most: number, least = 0): string | null {
  if (!isWellFormedText(text)) return `${field}: well-formed text`;
  const bytes = utf8Length(text);
  return bytes < least || bytes > most ? `${field}: ${least} to ${most} bytes` : null;
}

export function integerProblem(field: string, value: number, most: number = Number.MAX_SAFE_INTEGER, least = 0): string | null {
  return Number.isSafeInteger(value) && value >= least && value <= most ? null : `${field}: an integer from ${least} to ${most}`;
}

function messageProblem({ key, body, headers, priority, delayMs, dueAt, ttlMs, dedupId }: NewMessage): string | null {
  if (body.length > limits.maxBodyBytes) return `body: ${limits.maxBodyBytes} bytes at most`;
  if (headers.length > limits.maxHeadersPerMessage) return `headers: ${limits.maxHeadersPerMessage} at most`;
  for (const [name, value] of headers) {
    const problem = textProblem("headers", name + value, limits.maxHeaderBytes);
    if (problem !== null) return problem;
  }
  return (
    textProblem("key", key, limits.maxKeyBytes) ??
    textProblem("dedup_id", dedupId, limits.maxKeyBytes) ??
    integerProblem("priority", priority, lowestPriority) ??
    integerProblem("delay_ms", delayMs, limits.maxDurationMs) ??
    integerProblem("due_at", dueAt) ??
    integerProblem("ttl_ms", ttlMs, limits.maxDurationMs)
  );
}

function sizeOf({ key, body, headers, dedupId }: NewMessage): number {
  const texts = headers.reduce((sum, [name, value]) => sum + utf8Length(name) + utf8Length(value) + 8, 0);
  return body.length + texts + utf8Length(key) + utf8Length(dedupId) + messageRoom;
}
