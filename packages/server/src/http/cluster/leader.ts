import type { HttpContext } from "../context.ts";

interface KnownLeader {
  readonly leader: string | null;
  readonly term: number;
}
/** A status is put together from many parts; leader and term in an answer may be this old. */
const leaderAgeMs = 20;
const known = new WeakMap<HttpContext, { readonly at: number; readonly leader: KnownLeader }>();

/** Leader and term as this node sees them, for answers of calls that the log has decided. */
export function leaderOf(context: HttpContext): KnownLeader {
  const now = context.now();
  const before = known.get(context);
  if (before !== undefined && now - before.at < leaderAgeMs) return before.leader;
  const group = context.node.status().groups[0];
  const leader = { leader: group?.leader ?? null, term: group?.term ?? 0 };
  known.set(context, { at: now, leader });
  return leader;
}
