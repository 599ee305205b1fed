import type { Prng } from "@trivet/core";

/** What the network does on one directed edge between two machines. */
export interface EdgeConditions {
  /** Smallest one-way delay. */
  baseMs: number;
  /** Mean of the exponential part on top of it. */
  jitterMs: number;
  /** Chance that a frame is lost once and comes after a retransmission; TCP hides the loss, not the delay. */
  loss: number;
  bytesPerMs: number;
  /** Cuts in force, which may overlap: no packet passes while there is one. */
  cuts: number;
  /** Blocks of new connections in force; those that live go on. */
  dialBlocks: number;
  /** Broken transport only: a frame vanishes, comes twice, or overtakes the one before it. */
  drop: number;
  duplicate: number;
  reorder: number;
}

export const calm: Readonly<EdgeConditions> = {
  baseMs: 0.2,
  jitterMs: 0.3,
  loss: 0,
  bytesPerMs: 100_000,
  cuts: 0,
  dialBlocks: 0,
  drop: 0,
  duplicate: 0,
  reorder: 0,
};

const retransmitMs = 200;

/** Conditions per directed edge; everything a nemesis does to the network goes through here. */
export class Edges {
  private readonly edges = new Map<string, EdgeConditions>();
  private readonly defaults: EdgeConditions = { ...calm };

  of(from: string, to: string): EdgeConditions {
    const key = `${from}>${to}`;
    let edge = this.edges.get(key);
    if (edge === undefined) {
      edge = { ...this.defaults };
      this.edges.set(key, edge);
    }
    return edge;
  }

  /** Conditions of every edge, now and later; cuts stay. */
  setAll(change: Omit<Partial<EdgeConditions>, "cuts" | "dialBlocks">): void {
    Object.assign(this.defaults, change);
    for (const edge of this.edges.values()) Object.assign(edge, change);
  }

  /** Ends every fault of the network. */
  heal(): void {
    Object.assign(this.defaults, calm);
    for (const edge of this.edges.values()) Object.assign(edge, calm);
  }

  /** Packets of a connection need both directions, except where a hook models one-way loss above TCP. */
  passes(from: string, to: string): boolean {
    return this.of(from, to).cuts === 0;
  }

  delay(from: string, to: string, bytes: number, prng: Prng): number {
    const edge = this.of(from, to);
    let delay = edge.baseMs - edge.jitterMs * Math.log(1 - prng.next()) + bytes / edge.bytesPerMs;
    for (let wait = retransmitMs; edge.loss > 0 && wait < 5_000 && prng.chance(edge.loss); wait *= 2) delay += wait;
    return delay;
  }
}
