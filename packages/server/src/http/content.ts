import { httpLimits } from "@trivet/contract";
import { inspectJson } from "../json/strict-json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** JSON has no infinity: `1e400` is read as one, and would be written as null. */
function hasInfinity(value: unknown): boolean {
  if (typeof value === "number") return !Number.isFinite(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasInfinity);
}

/** A JSON value as it is stored: its UTF-8 text. Null when a number in it has no JSON form. */
export function jsonBytes(value: unknown): Uint8Array | null {
  return hasInfinity(value) ? null : encoder.encode(JSON.stringify(value));
}

/** Null when the text is no base64, or another text would give the same bytes. */
export function base64Bytes(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "") ? bytes : null;
}

export const base64Of = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");

/** The JSON value that these bytes are; null when they are none, or one that is too deep to be written again. */
export function jsonOf(bytes: Uint8Array): { readonly value: unknown } | null {
  try {
    const text = decoder.decode(bytes);
    return inspectJson(text, httpLimits.maxJsonDepth) === null ? { value: JSON.parse(text) as unknown } : null;
  } catch {
    return null;
  }
}
