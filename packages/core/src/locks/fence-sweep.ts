import { mutant } from "#mutation";
import type { Lock } from "./lock.ts";
import type { LockState } from "./lock-state.ts";

/**
 * The lowest fence of a live grant, or the next to be given where nothing is held (rule K5), found in steps between which the state may change. No grant
 * that is live at the end, or at any later time, has a lower one: it was there all the time and was met, or it came later, with a fence above all
 * that had been given when the sweep began (rule K1). So it may also be of a state that lags behind.
 */
export class FenceSweep {
  private readonly state: LockState;
  private readonly left: Iterator<Lock>;
  /** Those that are packed are looked at first: who is unpacked meanwhile is met among the others, or was met. */
  private packedAt = 0;
  private lowest: number;

  constructor(state: LockState) {
    this.state = state;
    this.left = state.table.values();
    this.lowest = state.lastFence + 1;
  }

  /** Looks at up to `most` more locks. Null = it goes on. */
  step(most: number): number | null {
    if (mutant("fence-sweep-ends-with-latest")) this.lowest = Math.max(this.lowest, this.state.lastFence + 1);
    const { packed } = this.state;
    let looked = 0;
    for (; looked < most && this.packedAt < packed.end; looked++) this.meetPacked(this.packedAt++);
    for (; looked < most; looked++) {
      const next = this.left.next();
      if (next.done === true) return this.lowest;
      // A lock's holds are in the order of their fences.
      const { firstHold } = next.value;
      if (firstHold !== null && firstHold.fence < this.lowest && !mutant("fence-sweep-holds-unseen")) this.lowest = firstHold.fence;
    }
    return null;
  }

  private meetPacked(id: number): void {
    const { packed } = this.state;
    if (!packed.isPacked(id) || mutant("fence-sweep-packed-unseen")) return;
    this.lowest = Math.min(this.lowest, packed.fenceOf(id));
  }
}
