const everyMs = 1_000;
const mostNames = 1_024;

/** Lets each name through once in a second, and no more than so many of them: what is asked for by every read of a hot key need not be sent for each. */
export class Pace {
  private readonly passed = new Set<string>();
  private endsAt = Number.NEGATIVE_INFINITY;

  lets(name: string, now: number): boolean {
    if (now >= this.endsAt) {
      this.passed.clear();
      this.endsAt = now + everyMs;
    }
    if (this.passed.has(name) || this.passed.size >= mostNames) return false;
    this.passed.add(name);
    return true;
  }
}
