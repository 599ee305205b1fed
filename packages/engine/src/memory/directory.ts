import type { Prng } from "@trivet/core";
import type { CrashOptions, FileContent } from "./file-content.ts";

export type Node = FileContent | Directory;

type Change =
  | { readonly type: "set"; readonly name: string; readonly node: Node }
  | { readonly type: "delete"; readonly name: string }
  | { readonly type: "rename"; readonly from: string; readonly to: string; readonly node: Node };

/** Names: what programs see, what the disk holds, and the changes in between. A file's entry is not made durable by syncing the file. */
export class Directory {
  private seen: Map<string, Node> = new Map();
  private durable: Map<string, Node> = new Map();
  private pending: Change[] = [];

  get(name: string): Node | undefined {
    return this.seen.get(name);
  }

  names(): string[] {
    return [...this.seen.keys()].sort();
  }

  nodes(): IterableIterator<Node> {
    return this.seen.values();
  }

  change(change: Change): void {
    applyChange(this.seen, change);
    this.pending.push(change);
  }

  sync(): void {
    for (const change of this.pending) applyChange(this.durable, change);
    this.pending = [];
  }

  /** A name that vanishes for good, as by an operator's hand. */
  lose(name: string): void {
    this.sync();
    this.seen.delete(name);
    this.durable.delete(name);
  }

  /** Power loss: each change since the last sync of this directory survives or not, a rename as a whole. */
  crash(prng: Prng, options: CrashOptions): void {
    const chance = options.unsynced === "none" ? 0 : options.unsynced === "all" ? 1 : prng.pick([0, 0.5, 1]);
    for (const change of this.pending) if (prng.chance(chance)) applyChange(this.durable, change);
    this.pending = [];
    this.seen = new Map(this.durable);
    for (const node of this.seen.values()) node.crash(prng, options);
  }

  copy(): Directory {
    const copies = new Map<Node, Node>();
    const copyOf = (node: Node): Node => {
      const known = copies.get(node) ?? node.copy();
      copies.set(node, known);
      return known;
    };
    const copy = new Directory();
    for (const [name, node] of this.seen) copy.seen.set(name, copyOf(node));
    for (const [name, node] of this.durable) copy.durable.set(name, copyOf(node));
    copy.pending = this.pending.map((change) => (change.type === "delete" ? change : { ...change, node: copyOf(change.node) }));
    return copy;
  }
}

function applyChange(entries: Map<string, Node>, change: Change): void {
  switch (change.type) {
    case "set":
      entries.set(change.name, change.node);
      return;
    case "delete":
      entries.delete(change.name);
      return;
    case "rename":
      entries.delete(change.from);
      entries.set(change.to, change.node);
      return;
  }
}
