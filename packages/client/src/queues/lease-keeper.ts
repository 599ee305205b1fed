import type { Message } from "./message.ts";

const shortestPeriodMs = 20;

/**
 * Extends the leases of what is in hand, beside the work on it; all that are due at a time share a command. A message whose settlement failed, and is not
 * repeated within a visibility time, is nobody's work any more: its lease runs out, and then it makes room.
 */
export class LeaseKeeper<T> {
  private readonly held: ReadonlySet<Message<T>>;
  private readonly extends: boolean;
  private timer: NodeJS.Timeout | null = null;
  private leaseMs = 0;
  private readonly underWay = new Set<Message<T>>();

  constructor(held: ReadonlySet<Message<T>>, extend: boolean) {
    this.held = held;
    this.extends = extend;
  }

  /** Messages were handed out for so long. */
  begin(leaseMs: number): void {
    if (this.timer !== null && leaseMs >= this.leaseMs) return;
    this.stop();
    this.leaseMs = leaseMs;
    this.timer = setInterval(() => this.look(), Math.max(shortestPeriodMs, leaseMs / 6));
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private look(): void {
    if (this.held.size === 0) return this.stop();
    for (const message of this.held) {
      if (!message.isOpen) continue;
      if (this.isKept(message)) this.extendIfDue(message);
      else if (message.failedForMs !== null && !message.lease.isHeld) message.lose("its settlement failed and was not repeated");
    }
  }

  private isKept({ failedForMs }: Message<T>): boolean {
    return this.extends && (failedForMs === null || failedForMs < this.leaseMs);
  }

  /** At two thirds, two more tries fit before the end. */
  private extendIfDue(message: Message<T>): void {
    if (this.underWay.has(message) || message.lease.remainingMs() > (this.leaseMs * 2) / 3) return;
    this.underWay.add(message);
    // A lost one is told by its signal; after any other failure the next turn tries again.
    message.extend(this.leaseMs).then(
      () => this.underWay.delete(message),
      () => this.underWay.delete(message),
    );
  }
}
