import type { Clock } from "../ports/clock.ts";

/** Told once: a queue of that name is there, or the time is over (or the caller left) and it is not. */
type Told = (isThere: boolean) => void;

/** Names of queues that are not there yet, with those who wait for them. */
export class AwaitedNames {
  private readonly clock: Clock;
  private readonly waiting: Map<string, Set<Told>> = new Map();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Returns how to stop waiting. `told` is called later, never inside a call of this class. */
  await(name: string, until: number, told: Told): () => void {
    const waiting = this.waiting.get(name) ?? new Set<Told>();
    this.waiting.set(name, waiting);
    const end: Told = (isThere) => {
      if (!waiting.delete(end)) return;
      if (waiting.size === 0) this.waiting.delete(name);
      timer.cancel();
      this.clock.defer(() => told(isThere));
    };
    const timer = this.clock.schedule(Math.max(0, until - this.clock.now()), () => end(false));
    waiting.add(end);
    return () => end(false);
  }

  appeared(name: string): void {
    // Each leaves the set as it is told.
    for (const end of this.waiting.get(name) ?? []) end(true);
  }

  /** Nobody waits any longer. */
  endAll(): void {
    for (const waiting of this.waiting.values()) for (const end of waiting) end(false);
  }
}
