/** The longest time in which nothing was answered. */
export class LongestGap {
  ms = 0;
  #lastAt: number;

  constructor(startedAt: number) {
    this.#lastAt = startedAt;
  }

  get lastAt(): number {
    return this.#lastAt;
  }

  answered(now: number): void {
    this.ms = Math.max(this.ms, now - this.#lastAt);
    this.#lastAt = now;
  }
}
