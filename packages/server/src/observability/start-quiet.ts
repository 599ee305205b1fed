import type { LogEvent } from "./events.ts";

/**
 * Nodes of a cluster do not start at the same instant, and founding closes every link once: a peer that cannot be reached in the first
 * seconds is normal. Such lines wait; those whose peer has answered by then are never shown as warnings.
 */
export class StartQuiet {
  readonly #held = new Map<string, LogEvent>();
  readonly #write: (event: LogEvent) => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(write: (event: LogEvent) => void) {
    this.#write = write;
  }

  /** The node begins to look for the others; before that, and `forMs` later, nothing waits. */
  begin(forMs: number): void {
    this.#timer = setTimeout(() => this.#end(), forMs).unref();
  }

  /** True when the event waits; it should be written at DEBUG only. */
  holds(event: LogEvent): boolean {
    if (this.#timer === null) return false;
    const address = event.fields["address"];
    if (typeof address !== "string") return false;
    if (event.event === "peer.connected") this.#held.delete(address);
    if (event.event !== "peer.unreachable" || event.level !== "warn") return false;
    this.#held.set(address, event);
    return true;
  }

  /** The node stops: what waits is no news any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#held.clear();
  }

  #end(): void {
    this.#timer = null;
    for (const event of this.#held.values()) this.#write(event);
    this.#held.clear();
  }
}
