/** The speed is that of so long ago until now: a step may become slower while it goes on. */
const windowMs = 60_000;

interface Mark {
  readonly atMs: number;
  readonly done: number;
}

/** How fast a long step goes, and how long what is left of it takes at that speed. */
export class Pace {
  readonly #total: number;
  readonly #marks: Mark[];

  constructor(total: number, startedAtMs: number) {
    this.#total = total;
    this.#marks = [{ atMs: startedAtMs, done: 0 }];
  }

  saw(atMs: number, done: number): void {
    this.#marks.push({ atMs, done });
    // The oldest one is the last that is not within the window: the speed is that of all of the window.
    while ((this.#marks[1]?.atMs ?? atMs) <= atMs - windowMs) this.#marks.shift();
  }

  get perSecond(): number | null {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null;
    return ((last.done - first.done) / (last.atMs - first.atMs)) * 1000;
  }

  /** Null: nothing moves, so nobody knows. */
  get leftMs(): number | null {
    const speed = this.perSecond;
    const done = this.#marks.at(-1)?.done ?? 0;
    return speed === null || speed <= 0 ? null : (Math.max(0, this.#total - done) / speed) * 1000;
  }

  /** `filling 250 000 of 1 000 000 (25 %), 10 000 messages/s, about 1 min left`. */
  words(what: string): string {
    const done = this.#marks.at(-1)?.done ?? 0;
    const speed = this.perSecond;
    const left = this.leftMs;
    return [
      `${what} ${grouped(done)} of ${grouped(this.#total)} (${Math.floor((done / this.#total) * 100)} %)`,
      `${speed === null ? "–" : grouped(Math.round(speed))} messages/s`,
      left === null ? "nothing moves" : `about ${duration(left)} left`,
    ].join(", ");
  }
}

function grouped(value: number): string {
  return value.toLocaleString("en-US").replaceAll(",", " ");
}

/** For people who wait: `40 s`, `12 min`, `1 h 05 min`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
