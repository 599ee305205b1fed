import { httpLimits, type queueSchemas } from "@trivet/contract";
import type { NewMessage } from "@trivet/wire";
import { badField, failure, type Failure } from "../answer.ts";
import { base64Bytes, base64Of, jsonBytes, jsonOf } from "../content.ts";

const jsonType = "application/json";
const isJsonType = (value: string): boolean => /^application\/(?:[a-z0-9.!#$&^_-]+\+)?json *(?:;|$)/i.test(value);
const isContentType = ([name]: readonly [string, string]): boolean => name.toLowerCase() === "content-type";

type Headers = readonly (readonly [string, string])[];

function headerPairs(headers: Readonly<Record<string, string>>, place: string): Headers | Failure {
  const pairs = Object.entries(headers);
  for (const [name, value] of pairs) {
    const field = `${place}headers.${name}`;
    if (name === "" || /\p{Surrogate}/u.test(name + value)) return badField(field, "a name and a text in UTF-8");
    if (Buffer.byteLength(name) + Buffer.byteLength(value) > httpLimits.maxMessageHeaderBytes)
      return badField(field, `at most ${httpLimits.maxMessageHeaderBytes} bytes, the name included`);
  }
  return pairs;
}

const isFailure = (value: unknown): value is Failure => (value as { readonly type?: unknown }).type === "failure";

function tooLarge(field: string): Failure {
  return failure("payload_too_large", { members: { field, limit: "message bytes", max: httpLimits.maxMessageBytes } });
}

function jsonContent(value: unknown, headers: Headers, place: string): { readonly body: Uint8Array; readonly headers: Headers } | Failure {
  const given = headers.find(isContentType);
  if (given !== undefined && !isJsonType(given[1]))
    return badField(`${place}headers.${given[0]}`, "a JSON type beside `body`; send other content as `body_base64`");
  const body = jsonBytes(value);
  if (body === null) return badField(`${place}body`, "numbers below 1.8e308");
  return { body, headers: given === undefined ? [["content-type", jsonType], ...headers] : headers };
}

function bytesContent(text: string, headers: Headers, place: string): { readonly body: Uint8Array; readonly headers: Headers } | Failure {
  const body = base64Bytes(text);
  return body === null ? badField(`${place}body_base64`, "base64") : { body, headers };
}

/** A message as it is stored. JSON is kept as its UTF-8 text and marked by its content type. `place` begins the names of its fields. */
export function newMessage(input: queueSchemas.MessageInput, place = ""): NewMessage | Failure {
  const { body: value, body_base64: base64 } = input;
  if ((value === undefined) === (base64 === undefined))
    return badField(`${place}body`, value === undefined ? "needed, but missing (or `body_base64`)" : "no `body_base64` beside `body`");
  if (input.delay_ms !== undefined && input.due_at !== undefined) return badField(`${place}due_at`, "no `delay_ms` beside `due_at`");
  const pairs = headerPairs(input.headers ?? {}, place);
  if (isFailure(pairs)) return pairs;
  const content = base64 === undefined ? jsonContent(value, pairs, place) : bytesContent(base64, pairs, place);
  if (isFailure(content)) return content;
  if (content.body.length > httpLimits.maxMessageBytes) return tooLarge(`${place}${base64 === undefined ? "body" : "body_base64"}`);
  return {
    key: input.key ?? "",
    body: content.body,
    headers: content.headers,
    priority: input.priority ?? 0,
    delayMs: input.delay_ms ?? 0,
    dueAt: input.due_at ?? 0,
    ttlMs: input.ttl_ms ?? 0,
    dedupId: input.dedup_id ?? "",
  };
}

function parsed(headers: Headers, body: Uint8Array): { readonly value: unknown } | null {
  const type = headers.find(isContentType);
  if (type === undefined || !isJsonType(type[1])) return null;
  // What came by another way than this API may only call itself JSON.
  return jsonOf(body);
}

export interface Content {
  readonly body: unknown;
  readonly body_base64?: string;
  readonly headers: Readonly<Record<string, string>>;
}
/** Content as callers get it: JSON as JSON, anything else as base64. */
export function contentJson(message: { readonly headers: Headers; readonly body: Uint8Array }): Content {
  const headers = Object.fromEntries(message.headers);
  const json = parsed(message.headers, message.body);
  if (json !== null) return { body: json.value, headers };
  return { body: null, body_base64: base64Of(message.body), headers };
}
