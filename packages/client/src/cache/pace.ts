const everyMs = 1_000;
const mostNames = 1_024;

/** Lets each name through once a second, and no more than so many of them: what is asked for by every read of a hot key need not be sent for each. */
export class Pace {
  private readonly nextAt = new Map<string, number>();

  lets(name: string, now: number): boolean {
    if (now < (this.nextAt.get(name) ?? now)) return false;
    if (this.nextAt.size >= mostNames) this.forget(now);
    if (this.nextAt.size >= mostNames) return false;
    this.nextAt.set(name, now + everyMs);
    return true;
  }

  private forget(now: number): void {
    for (const [name, at] of this.nextAt) if (at <= now) this.nextAt.delete(name);
  }
}
