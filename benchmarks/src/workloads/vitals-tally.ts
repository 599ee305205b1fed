import type { Vitals } from "../subjects/subject.ts";

/** What the nodes have gone through in a step. Null: none of them says. */
export interface Ordeal {
  readonly leaderChanges: number | null;
  readonly heartbeatsMissed: number | null;
  readonly longestLoopDelayMs: number | null;
  /** Questions that a node did not answer. */
  readonly unanswered: number;
}

interface Span {
  readonly first: Vitals;
  last: Vitals;
}

/**
 * Adds up what nodes say of themselves. It begins when all of them know a leader of every group: what the start of a cluster takes to get there is no
 * ordeal. A node that dies is counted up to its last answer.
 */
export class VitalsTally {
  readonly #spans = new Map<string, Span>();
  #longestLoopDelayMs = 0;
  #unanswered = 0;

  /** One look at all nodes, by name; null: no answer. */
  look(answers: ReadonlyMap<string, Vitals | null>): void {
    const known = [...answers].filter((entry): entry is [string, Vitals] => entry[1] !== null);
    this.#unanswered += answers.size - known.length;
    if (this.#spans.size === 0) {
      const isSettled = known.length === answers.size && known.every(([, { leaderless }]) => leaderless === 0);
      if (isSettled) for (const [name, vitals] of known) this.#spans.set(name, { first: vitals, last: vitals });
      return;
    }
    for (const [name, vitals] of known) {
      const span = this.#spans.get(name);
      if (span !== undefined) span.last = vitals;
      this.#longestLoopDelayMs = Math.max(this.#longestLoopDelayMs, vitals.loopDelayMs);
    }
  }

  #sum(pick: (vitals: Vitals) => number): number | null {
    if (this.#spans.size === 0) return null;
    return [...this.#spans.values()].reduce((sum, { first, last }) => sum + pick(last) - pick(first), 0);
  }

  get ordeal(): Ordeal {
    return {
      leaderChanges: this.#sum(({ leaderChanges }) => leaderChanges),
      heartbeatsMissed: this.#sum(({ heartbeatsMissed }) => heartbeatsMissed),
      longestLoopDelayMs: this.#spans.size === 0 ? null : this.#longestLoopDelayMs,
      unanswered: this.#unanswered,
    };
  }
}
