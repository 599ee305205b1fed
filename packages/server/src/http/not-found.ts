import { routeIds, routeOf } from "@trivet/contract";
import { failure, type Failure } from "./answer.ts";

/** Paths of the source documents whose part of the system comes later; a literal word there stays a literal word. */
const later: readonly { readonly pattern: RegExp; readonly what: string }[] = [{ pattern: /^\/ui(?:\/|$)/, what: "The page" }];
const s4Words = /^\/(?:queue\/(?:produce|consume|ack)|cache\/(?:get|put|invalidate|fetch|state)|raft\/|locks\/)/;

const patterns = routeIds.map((id) => {
  const definition = routeOf(id);
  return {
    method: definition.method,
    pattern: new RegExp(`^${definition.path.replaceAll(/[.]/g, "\\.").replaceAll(/:[a-z_]+/g, "[^/]+")}$`),
  };
});

export const isS4Path = (path: string): boolean => s4Words.test(path);

/** Why no route matched: another method, a later version, or nothing at all. */
export function notFound(method: string, path: string): Failure {
  const allowed = [...new Set(patterns.filter((route) => route.pattern.test(path)).map((route) => route.method))];
  if (allowed.length > 0) {
    const list = allowed.join(", ");
    return failure("method_not_allowed", { values: { method, allowed: list }, headers: { allow: list } });
  }
  const part = later.find((candidate) => candidate.pattern.test(path));
  if (part !== undefined) return failure("not_available_yet", { values: { what: part.what } });
  const meant = withSlashInName(method, path);
  return failure("not_found", {
    values: { what: `${method} ${path.slice(0, 200)}` },
    ...(meant === null ? {} : { members: { next: `A "/" in a name is written %2F: ${method} ${meant}. /docs lists every path.` } }),
  });
}

/** Longer paths are not looked at: every pair of places is tried. */
const mostParts = 12;

/** The path as it would be found, were two or more of its parts one name; null = there is none. */
function withSlashInName(method: string, path: string): string | null {
  const parts = path.split("/");
  if (parts.length > mostParts || path.length > 200) return null;
  // What stands before a name is at least one word, after the leading "/".
  for (let first = 2; first < parts.length - 1; first++) {
    for (let last = parts.length - 1; last > first; last--) {
      const name = parts.slice(first, last + 1).join("%2F");
      const whole = [...parts.slice(0, first), name, ...parts.slice(last + 1)].join("/");
      if (patterns.some((route) => route.method === method && route.pattern.test(whole))) return whole;
    }
  }
  return null;
}
