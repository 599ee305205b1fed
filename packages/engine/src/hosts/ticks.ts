import type { Clock } from "../ports/clock.ts";

/** Calls `tick` every `periodMs` until it returns false. The next is set before this one runs, so that a long one does not put it off. */
export function tickEvery(clock: Clock, periodMs: number, tick: () => boolean): void {
  let goesOn = true;
  const run = (): void => {
    if (!goesOn) return;
    clock.schedule(periodMs, run);
    goesOn = tick();
  };
  clock.schedule(periodMs, run);
}
