/** Share of the room by which the window changes at first. */
const firstStep = 0.0625;
/** A change of the hit ratio that means other traffic: the steps are long again. */
const restartThreshold = 0.05;
/** Each step is shorter than the one before. */
const decay = 0.98;
/** Standard errors of a sample's hit ratio within which a fall is chance. */
const noiseErrors = 2;

/**
 * Finds how large the window should be (Einziger, Eytan, Friedman, Manes, "Adaptive software cache management", Middleware 2018): goes
 * on in one direction while the hit ratio does not fall from sample to sample, turns when it falls, with shorter and shorter steps.
 *
 * The paper compares with the sample before. Then chance decides where the ratio hardly depends on the window, and the way to a summit
 * behind such a plain is not found. Here a fall must exceed chance, and is measured from the highest ratio since the last turn, so that
 * many small falls count too.
 */
export class HillClimber {
  private hits = 0;
  private requests = 0;
  private lastRatio = 0;
  /** Since the last turn. */
  private highestRatio = 0;
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
    const { requests, blocked } = this;
    if (requests < sample) return 0;
    const ratio = this.hits / requests;
    const noise = noiseErrors * Math.sqrt((ratio * (1 - ratio)) / requests);
    const isOtherTraffic = Math.abs(ratio - this.lastRatio) >= restartThreshold;
    const turns = !blocked && ratio < this.highestRatio - noise;
    if (turns || blocked || isOtherTraffic || ratio > this.highestRatio) this.highestRatio = ratio;
    const amount = turns ? -this.step : this.step;
    this.step = isOtherTraffic ? Math.sign(amount) * firstStep : amount * decay;
    this.lastRatio = ratio;
    this.blocked = false;
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
