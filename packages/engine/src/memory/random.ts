import { Prng } from "@trivet/core";
import type { Random } from "../ports/random.ts";

/** Seeded; for tests and the simulator only. */
export class MemoryRandom implements Random {
  private readonly prng: Prng;

  constructor(seed: number) {
    this.prng = new Prng(seed);
  }

  nextUint32(): number {
    return this.prng.nextUint32();
  }

  hex(bytes: number): string {
    let text = "";
    for (let i = 0; i < bytes; i++) text += this.prng.below(256).toString(16).padStart(2, "0");
    return text;
  }
}
