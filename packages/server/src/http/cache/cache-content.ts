import { httpLimits } from "@trivet/contract";
import { badField, failure, type Failure } from "../answer.ts";
import { isFailure } from "../calls.ts";
import { base64Bytes, base64Of, jsonBytes, jsonOf } from "../content.ts";

export interface GivenContent {
  readonly value?: unknown;
  readonly value_base64?: string | undefined;
  readonly negative?: true | undefined;
}

function bytesOf({ value, value_base64: base64 }: GivenContent): Uint8Array | Failure {
  if (base64 !== undefined) return base64Bytes(base64) ?? badField("value_base64", "base64");
  return jsonBytes(value) ?? badField("value", "numbers below 1.8e308");
}

/** A value as it is stored; null = a negative entry. JSON is kept as its UTF-8 text. */
export function storedValue(given: GivenContent): Uint8Array | null | Failure {
  const named = [given.value !== undefined, given.value_base64 !== undefined, given.negative === true].filter(Boolean).length;
  if (named === 0) return badField("value", "needed, but missing (or `value_base64`, or `negative`)");
  if (named > 1) return badField("value", "one of `value`, `value_base64` and `negative`");
  if (given.negative === true) return null;
  const bytes = bytesOf(given);
  if (isFailure(bytes) || bytes.length <= httpLimits.maxCacheValueBytes) return bytes;
  const field = given.value_base64 === undefined ? "value" : "value_base64";
  return failure("payload_too_large", { members: { field, limit: "value bytes", max: httpLimits.maxCacheValueBytes } });
}

export interface ValueJson {
  readonly value: unknown;
  readonly value_base64?: string;
}
/** A value as callers get it: JSON as JSON, anything else as base64. */
export function valueJson(bytes: Uint8Array | null, encoding: "json" | "base64" = "json"): ValueJson {
  if (bytes === null) return { value: null };
  const json = encoding === "json" ? jsonOf(bytes) : null;
  return json ?? { value: null, value_base64: base64Of(bytes) };
}

/** For the paths of the source documents, which have one field for it. */
export function plainValue(bytes: Uint8Array | null): unknown {
  const { value, value_base64: base64 } = valueJson(bytes);
  return base64 ?? value;
}
