import { limits } from "@trivet/wire";
import { TrivetError } from "./errors.ts";

/** What the wire cannot carry is refused here: a node would end the stream for it. */
export function isText(text: string, most: number): boolean {
  return Buffer.byteLength(text) <= most && !/\p{Surrogate}/u.test(text);
}

export function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

/** Throws TrivetError `bad_request`. */
export function check(field: string, isFine: boolean, expected: string): void {
  if (!isFine) throw new TrivetError("bad_request", `${field}: expected ${expected}`, { details: { field } });
}

export function checkDuration(field: string, ms: number): void {
  check(field, isWhole(ms, limits.maxDurationMs), `a whole number of milliseconds from 0 to ${limits.maxDurationMs}`);
}
