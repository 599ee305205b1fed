import type { NodeId } from "@trivet/core";

/** Callers of nodes that have no replica of a shard: who its leader sends the answers of its apply to. */
export class RemoteCallers {
  /** By node, until when answers are sent there; copies of one idempotent call may come to several (rule X2). */
  private readonly callers = new Map<string, Map<NodeId, number>>();
  private began: string[] = [];
  private ended: string[] = [];

  /** A frame of the caller came from `node`; answers are sent there until `until`. */
  heard(caller: string, node: NodeId, until: number): void {
    let nodes = this.callers.get(caller);
    if (nodes === undefined) this.callers.set(caller, (nodes = new Map()));
    // Told again: the caller may have been waited for here too, and be over here.
    this.began.push(caller);
    nodes.set(node, Math.max(until, nodes.get(node) ?? 0));
  }

  has(caller: string): boolean {
    return this.callers.has(caller);
  }

  nodesOf(caller: string): Iterable<NodeId> {
    return this.callers.get(caller)?.keys() ?? [];
  }

  tick(now: number): void {
    for (const [caller, nodes] of this.callers) {
      for (const [node, until] of nodes) if (until <= now) nodes.delete(node);
      if (nodes.size > 0) continue;
      this.callers.delete(caller);
      this.ended.push(caller);
    }
  }

  takeRoutes(): { readonly routed: readonly string[]; readonly unrouted: readonly string[] } {
    const told = { routed: this.began, unrouted: this.ended };
    this.began = [];
    this.ended = [];
    return told;
  }

  forgetTold(): void {
    this.began = [...this.callers.keys()];
  }
}
