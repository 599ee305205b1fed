import type { Message } from "./message.ts";

const shortestPeriodMs = 20;

/** Extends the leases of what is in hand, beside the work on it; all that are due at a time share a command. */
export class LeaseKeeper<T> {
  private readonly held: ReadonlySet<Message<T>>;
  private timer: NodeJS.Timeout | null = null;
  private leaseMs = 0;
  private readonly underWay = new Set<Message<T>>();

  constructor(held: ReadonlySet<Message<T>>) {
    this.held = held;
  }

  /** Messages were handed out for so long. */
  begin(leaseMs: number): void {
    if (this.timer !== null && leaseMs >= this.leaseMs) return;
    this.stop();
    this.leaseMs = leaseMs;
    this.timer = setInterval(() => this.extendDue(), Math.max(shortestPeriodMs, leaseMs / 6));
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** At two thirds, two more tries fit before the end. */
  private extendDue(): void {
    if (this.held.size === 0) return this.stop();
    for (const message of this.held) {
      if (!message.isOpen || this.underWay.has(message) || message.lease.remainingMs() > (this.leaseMs * 2) / 3) continue;
      this.underWay.add(message);
      // A lost one is told by its signal; after any other failure the next turn tries again.
      message.extend(this.leaseMs).then(
        () => this.underWay.delete(message),
        () => this.underWay.delete(message),
      );
    }
  }
}
