import type { Violation } from "./history.ts";

/** One visible effect of a command, found in the replicated state or its events, not in answers. */
export interface Effect {
  /** Request identity: caller and sequence. */
  readonly request: string;
  /** What happened, for example `grant:jobs`; one request has each effect at most once. */
  readonly effect: string;
  /** Log index. */
  readonly at: number;
}
/** What the client knows of one request at the end of the run. */
export interface RequestFate {
  readonly request: string;
  /** `applied` = a positive answer came; `refused` = an answer came that rules any effect out; `unknown` = neither. */
  readonly fate: "applied" | "refused" | "unknown";
  /** Effects the answer promised; empty when it promised none. */
  readonly promised: readonly string[];
}

/**
 * Exactly once (rules X1–X3): however often a request was sent, forwarded, duplicated and retried, each of its effects happened at most
 * once; what was promised happened; what was refused did not; and nothing happened that nobody asked for.
 */
export function checkExactlyOnce(effects: readonly Effect[], fates: readonly RequestFate[]): Violation | null {
  const fateOf = new Map(fates.map((fate) => [fate.request, fate]));
  const seen = new Map<string, Effect>();
  for (const effect of effects) {
    const key = `${effect.request}|${effect.effect}`;
    const first = seen.get(key);
    if (first !== undefined) {
      return {
        invariant: "exactly-once",
        detail: `${effect.request} had its effect ${effect.effect} at ${first.at} and again at ${effect.at}`,
      };
    }
    seen.set(key, effect);
    const fate = fateOf.get(effect.request);
    if (fate === undefined)
      return { invariant: "no-phantom", detail: `nobody sent ${effect.request}, which had ${effect.effect} at ${effect.at}` };
    if (fate.fate === "refused") {
      return { invariant: "refused-has-no-effect", detail: `${effect.request} was refused and yet had ${effect.effect} at ${effect.at}` };
    }
  }
  for (const fate of fates) {
    for (const promised of fate.promised) {
      if (!seen.has(`${fate.request}|${promised}`)) {
        return { invariant: "durability", detail: `${fate.request} was answered, but its effect ${promised} is nowhere` };
      }
    }
  }
  return null;
}
