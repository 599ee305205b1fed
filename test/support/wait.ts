import { setTimeout as pause } from "node:timers/promises";

/** Waits for a condition, never for a time. `probe` gives the awaited value, or a text that says what is still missing. */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<Ready<T> | string> | Ready<T> | string,
  { deadlineMs = 30_000, everyMs = 50 }: { readonly deadlineMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const begun = performance.now();
  let last = "never asked";
  for (;;) {
    try {
      const answer = await probe();
      if (typeof answer !== "string") return answer.value;
      last = answer;
    } catch (error) {
      last = error instanceof Error ? `${error.message}${error.cause instanceof Error ? ` (${error.cause.message})` : ""}` : String(error);
    }
    const elapsed = performance.now() - begun;
    if (elapsed > deadlineMs) throw new Error(`waited ${Math.round(elapsed)} ms for ${what}; last: ${last}`);
    await pause(everyMs);
  }
}

export interface Ready<T> {
  readonly value: T;
}
export const ready = <T>(value: T): Ready<T> => ({ value });
