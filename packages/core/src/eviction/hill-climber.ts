/** Share of the room by which the window changes at first. */
const firstStep = 0.0625;
/** A change of the hit ratio that means other traffic: the steps are long again. */
const restartThreshold = 0.05;
/** Each step is shorter than the one before. */
const decay = 0.98;

/**
 * Finds how large the window should be (Einziger, Eytan, Friedman, Manes, "Adaptive software cache management", Middleware 2018): goes
 * on in one direction while the hit ratio rises from sample to sample, turns when it falls, with shorter and shorter steps.
 */
export class HillClimber {
  private hits = 0;
  private requests = 0;
  private lastRatio = 0;
  private step = firstStep;
  /** The last step led nowhere. */
  private blocked = false;

  recordHit(): void {
    this.hits++;
    this.requests++;
  }

  recordMiss(): void {
    this.requests++;
  }

  /** What to add to the window's share of the room; 0 until `sample` requests were seen since the last answer. */
  climb(sample: number): number {
    if (this.requests < sample) return 0;
    const ratio = this.hits / this.requests;
    const change = ratio - this.lastRatio;
    const amount = this.blocked || change >= 0 ? this.step : -this.step;
    this.blocked = false;
    this.step = Math.abs(change) >= restartThreshold ? Math.sign(amount) * firstStep : amount * decay;
    this.lastRatio = ratio;
    this.hits = 0;
    this.requests = 0;
    return amount;
  }

  /** The last answer could not be followed, at the end of the range: the hit ratio tells nothing about it, and the next step is back. */
  turnBack(): void {
    this.step = -this.step;
    this.blocked = true;
  }
}
