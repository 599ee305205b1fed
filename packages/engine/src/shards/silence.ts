import { mutant } from "@trivet/core/mutation";

/** More than this between two looks was a pause of this process, in which it heard nobody (rule L2). */
const longestStepMs = 1_000;

/**
 * How long nodes have been silent, as one leader counts it: anew in every term. What a node saw before it led may have been its own isolation, and
 * what an earlier leader's term left behind says nothing of today.
 */
export class Silence {
  private term = 0;
  private lookedAt = 0;
  private readonly silentMs = new Map<string, number>();

  look(term: number, now: number, nodes: readonly string[], isHeard: (node: string) => boolean): void {
    if (term !== this.term && !mutant("silence-of-earlier-terms-counts")) {
      this.term = term;
      this.lookedAt = now;
      this.silentMs.clear();
    }
    const step = mutant("silence-of-a-pause-counts") ? now - this.lookedAt : Math.min(now - this.lookedAt, longestStepMs);
    this.lookedAt = now;
    // Whoever comes under its name begins anew.
    for (const node of this.silentMs.keys()) if (!nodes.includes(node) && !mutant("silence-of-the-gone-counts")) this.silentMs.delete(node);
    for (const node of nodes) {
      if (isHeard(node) && !mutant("silence-adds-up")) this.silentMs.delete(node);
      else {
        const before = this.silentMs.get(node);
        this.silentMs.set(node, before === undefined ? 0 : before + step);
      }
    }
  }

  /** 0 = it is heard, or has just fallen silent. */
  of(node: string): number {
    return this.silentMs.get(node) ?? 0;
  }
}
