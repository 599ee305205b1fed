import type { Result } from "@trivet/wire";

/**
 * May a client see both answers to one request? The stored answer is repeated as it was; a copy that comes after the client
 * acknowledged, or after the deadline, is refused.
 */
export function answersMatch(first: Result, second: Result): boolean {
  if (second.type === "refused") return true;
  return canonical(first) === canonical(second);
}

/** A result as text, independent of the order of fields. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : part,
  );
}
