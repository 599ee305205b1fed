import type { Result } from "@trivet/wire";

import { canonical } from "../clients/answers.ts";

/** The part of an answer that the reference foretells: no texts for people, no order among owners granted together. */
function essence(result: Result): unknown {
  switch (result.type) {
    case "malformed":
      return result.type;
    case "conflict":
      return [result.type, result.reason];
    case "quota":
      return result.type;
    case "deadlock":
      return result.type;
    case "released":
      return { ...result, grantedTo: [...result.grantedTo].sort() };
    default:
      return result;
  }
}

/** Null when the real answer is what the reference says. */
export function difference(expected: Result | undefined, real: Result | undefined): string | null {
  if (expected === undefined || real === undefined) {
    if (expected === real) return null;
    return `the reference says ${JSON.stringify(expected ?? "nothing")}, the log ${JSON.stringify(real ?? "nothing")}`;
  }
  if (canonical(essence(expected)) === canonical(essence(real))) return null;
  return `the reference says ${JSON.stringify(expected)}, the log ${JSON.stringify(real)}`;
}
