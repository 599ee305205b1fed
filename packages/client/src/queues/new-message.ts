import { type NewMessage, type Produce, limits } from "@trivet/wire";
import { check, isText, isWhole } from "../checks.ts";
import { TrivetError } from "../errors.ts";
import type { QueueCodec } from "./codec.ts";

export interface MessageOptions {
  /** Messages of one key keep their order: while one is in somebody's hands, the next waits. Picks the partition. */
  readonly key?: string;
  /** Ready only after so long. */
  readonly delayMs?: number;
  /** Ready only at this time (Unix milliseconds, or a Date); instead of `delayMs`. */
  readonly dueAt?: number | Date;
  /** Dropped when not settled by then; default the queue's. */
  readonly ttlMs?: number;
  /** 0 (default) is handed out first, 3 last. */
  readonly priority?: number;
  /** A second message with it within the queue's window is not stored again. */
  readonly dedupId?: string;
  /** Small texts kept with the content. */
  readonly headers?: Readonly<Record<string, string>>;
}
export interface ProduceCall {
  /** Ends the waiting. A message that was sent may be stored all the same. */
  readonly signal?: AbortSignal;
  /** Fail after so long; default the connection's `commandTimeoutMs`. */
  readonly timeoutMs?: number;
  /** Only if no later holder of the lock has written (rule K5); a held `Lock` fits. */
  readonly ifFence?: { readonly name: string; readonly fence: bigint };
}
export type ProduceOptions = MessageOptions & ProduceCall;

/** A message as it is sent. Throws TrivetError `bad_request` for what no shard would take: so it fails alone, not with the others of its command. */
export function newMessage<T>(codec: QueueCodec<T>, value: T, options: MessageOptions): NewMessage {
  const { key = "", delayMs = 0, ttlMs = 0, priority = 0, dedupId = "" } = options;
  const dueAt = options.dueAt instanceof Date ? options.dueAt.getTime() : (options.dueAt ?? 0);
  check("key", isText(key, limits.maxKeyBytes), `at most ${limits.maxKeyBytes} bytes of UTF-8`);
  check("dedupId", isText(dedupId, limits.maxKeyBytes), `at most ${limits.maxKeyBytes} bytes of UTF-8`);
  check("delayMs", isWhole(delayMs, limits.maxDurationMs), `a whole number up to ${limits.maxDurationMs}`);
  check("dueAt", isWhole(dueAt, Number.MAX_SAFE_INTEGER), "a time in Unix milliseconds");
  check("dueAt", dueAt === 0 || delayMs === 0, "no delayMs beside it");
  check("ttlMs", isWhole(ttlMs, Number.MAX_SAFE_INTEGER), "a whole number of milliseconds");
  check("priority", isWhole(priority, 3), "0 to 3");
  const given = Object.entries(options.headers ?? {});
  const hasType = given.some(([name]) => name.toLowerCase() === "content-type");
  const headers: readonly (readonly [string, string])[] = hasType ? given : [["content-type", codec.contentType], ...given];
  check("headers", headers.length <= limits.maxHeadersPerMessage, `at most ${limits.maxHeadersPerMessage}`);
  for (const [name, text] of headers) {
    const fits = name !== "" && isText(name + text, limits.maxHeaderBytes);
    check(`headers.${name}`, fits, `1 to ${limits.maxHeaderBytes} bytes of UTF-8, name and text together`);
  }
  let body: Uint8Array;
  try {
    body = codec.encode(value);
  } catch (error) {
    throw new TrivetError("bad_request", `The body cannot be encoded: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  check("body", body.length <= limits.maxBodyBytes, `at most ${limits.maxBodyBytes} bytes`);
  return { key, body, headers, priority, delayMs, dueAt, ttlMs, dedupId };
}

export function fenceOf(given: ProduceCall["ifFence"]): Produce["ifFence"] {
  return given === undefined ? null : heldFence("ifFence", given);
}

/** As it travels. Throws TrivetError `bad_request` for what is the fence of no grant. */
export function heldFence(field: string, { fence, name }: NonNullable<ProduceCall["ifFence"]>): NonNullable<Produce["ifFence"]> {
  check(`${field}.name`, name !== "" && isText(name, limits.maxNameBytes), `1 to ${limits.maxNameBytes} bytes of UTF-8`);
  check(`${field}.fence`, fence >= 0n && fence <= BigInt(Number.MAX_SAFE_INTEGER), "the fence of a grant");
  return { lock: name, fence: Number(fence) };
}
