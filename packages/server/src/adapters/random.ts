import { randomBytes, randomFillSync } from "node:crypto";
import type { Random } from "@trivet/engine";

/** The operating system's generator. */
export class NodeRandom implements Random {
  private readonly pool = new Uint32Array(256);
  private next = 256;

  nextUint32(): number {
    if (this.next === this.pool.length) {
      randomFillSync(this.pool);
      this.next = 0;
    }
    return this.pool[this.next++] ?? 0;
  }

  hex(bytes: number): string {
    return randomBytes(bytes).toString("hex");
  }
}
