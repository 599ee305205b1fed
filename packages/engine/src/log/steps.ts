import type { IoError } from "../ports/file.ts";

/** Runs an asynchronous step for every item, one after the other, and stops at the first error. */
export function inOrder<T>(
  items: readonly T[],
  step: (item: T, next: (error: IoError | null) => void) => void,
  done: (error: IoError | null) => void,
): void {
  const run = (index: number): void => {
    if (index >= items.length) return done(null);
    step(items[index] as T, (error) => (error === null ? run(index + 1) : done(error)));
  };
  run(0);
}
