import type { LineState } from "@trivet/core";
import type { LineName } from "@trivet/wire";
import type { CopyTransition } from "./cache-api.ts";
import { rememberedTransitions } from "./limits.ts";

interface Remembered extends CopyTransition {
  readonly line: LineName;
}

/** How this node's copies changed: counted for ever, the latest by their lines. */
export class Transitions {
  private readonly counts = new Map<string, number>();
  private readonly ring: Remembered[] = [];
  private next = 0;

  note(line: LineName, from: LineState, to: LineState, at: number): void {
    if (from === to) return;
    const name = `${from}>${to}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.ring[this.next] = { line, from, to, at };
    this.next = (this.next + 1) % rememberedTransitions;
  }

  counted(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counts);
  }

  /** The last ones of a line, oldest first. */
  of(line: LineName, most: number): readonly CopyTransition[] {
    const { next, ring } = this;
    const inOrder = ring.length < rememberedTransitions ? ring : [...ring.slice(next), ...ring.slice(0, next)];
    const found = inOrder.filter((one) => one.line === line).slice(-most);
    return found.map(({ at, from, to }) => ({ from, to, at }));
  }
}
