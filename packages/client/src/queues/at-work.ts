import { type Begun, encodeClientFrame, maxBegun, type WatchQueue } from "@trivet/wire";
import type { CommandStream } from "../command-stream.ts";

/**
 * Which messages a consumer has begun to work on: given to the program, and not known to be settled. A node that loses the consumer counts only these as
 * failed (docs/decisions/0028-begun-messages.md). It is told a bound, which is told again only when it no longer holds: of the most at a time so far,
 * and of the partitions in which there were some when it was told last.
 */
export class AtWork<M extends { readonly partition: number }> {
  private readonly messages = new Set<M>();
  private most = 0;
  private partitions: ReadonlySet<number> = new Set();

  /** True when the node must hear of it, before the program does anything with the message. */
  begins(message: M): boolean {
    const { messages } = this;
    messages.add(message);
    if (messages.size <= this.most && this.partitions.has(message.partition)) return false;
    this.most = Math.max(this.most, messages.size);
    this.partitions = new Set([...messages].map(({ partition }) => partition));
    return true;
  }

  ends(message: M): void {
    this.messages.delete(message);
  }

  /** The link is lost, and what was held under the name of before is given up. */
  lost(): void {
    this.messages.clear();
    this.most = 0;
    this.partitions = new Set();
  }

  get begun(): Begun {
    return { messages: Math.min(this.most, maxBegun), partitions: [...this.partitions].sort((a, b) => a - b) };
  }
}

/** Tells the node of the moment to watch for a consumer or to do so no more (null = as before), and what is begun, where it takes that. */
export function tellNode(
  stream: CommandStream,
  name: Pick<WatchQueue, "queue" | "group" | "consumer">,
  watch: boolean | null,
  begun: Begun,
): void {
  if (watch !== null) stream.send(encodeClientFrame({ type: "watch-queue", ...name, on: watch }));
  if (watch !== false && stream.takesBegun) stream.send(encodeClientFrame({ type: "consumer-begun", ...name, begun }), true);
}
