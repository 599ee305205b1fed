import { memoryCgroup, type MemoryCgroup } from "../measure/memory-cgroup.ts";
import type { RunningSubject } from "../subjects/subject.ts";

/** A memory cgroup around each node, or the reason why there is none. Nodes that are started again go in again. */
export class MemoryCage {
  readonly maxBytes: number;
  readonly reason: string | null;
  readonly #groups: readonly MemoryCgroup[];
  readonly #running: RunningSubject;

  constructor(running: RunningSubject, maxBytes: number) {
    this.maxBytes = maxBytes;
    this.#running = running;
    const made = running.nodes.map((_, index) => memoryCgroup(String(index), maxBytes));
    this.#groups = made.filter((group): group is MemoryCgroup => typeof group !== "string");
    this.reason = made.find((group) => typeof group === "string") ?? null;
  }

  get version(): number | null {
    return this.#groups[0]?.version ?? null;
  }

  /** Puts the nodes in, as they run now. */
  enter(): void {
    if (this.reason !== null) return;
    for (const [index, group] of this.#groups.entries()) {
      const node = this.#running.nodes[index];
      if (node !== undefined) group.add(node.pid);
    }
  }

  /** Times the kernel killed a node for want of memory. */
  kills(): number {
    return this.#groups.reduce((sum, group) => sum + group.kills(), 0);
  }

  /** After the nodes have ended. */
  remove(): void {
    for (const group of this.#groups) group.remove();
  }
}
