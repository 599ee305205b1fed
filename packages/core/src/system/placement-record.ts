import { mutant } from "#mutation";
import type { Result, SetPlacement } from "@trivet/wire";
import { avalanche, hashText, mix } from "./digest.ts";
import type { Ledger } from "./ledger.ts";
import type { NodeRegistry } from "./node-registry.ts";
import type { PlacementView } from "./view.ts";

/** Where the shards should be (D4), and who founded them. Null until the leader of group 0 has placed them first. */
export class PlacementRecord {
  private current: PlacementView | null = null;
  private hash = 0;
  private readonly ledger: Ledger;
  private readonly registry: NodeRegistry;

  constructor(ledger: Ledger, registry: NodeRegistry) {
    this.ledger = ledger;
    this.registry = registry;
  }

  /** Replaced, never changed. */
  get view(): PlacementView | null {
    return this.current;
  }

  /** Does any shard name `node`? It is not to be removed while one does (rule G4). */
  names(node: string): boolean {
    return this.current?.shards.some((nodes) => nodes.includes(node)) === true;
  }

  set(command: SetPlacement): Result {
    const { epoch, replication, shards } = command;
    const present = this.current;
    const seen = present?.epoch ?? 0;
    // A leader that was deposed meanwhile derived its map from one that no longer stands.
    if (epoch !== seen && !mutant("system-placement-any-epoch")) return { type: "placement-refused", epoch: seen };
    const wrong = this.fault(command);
    if (wrong !== null) return { type: "malformed", detail: wrong };
    const founders = present === null || mutant("system-placement-refounded") ? this.founders(shards) : present.founders;
    this.restore({ epoch: seen + 1, replication, founders, shards });
    this.ledger.sink.changed({ type: "placement-changed", epoch: seen + 1 });
    return { type: "placement-set", epoch: seen + 1 };
  }

  /** Takes over what a snapshot has. */
  restore(view: PlacementView): void {
    this.current = view;
    this.hash = placementDigest(view);
  }

  /** 0 while there is none. */
  digest(): number {
    return this.hash;
  }

  private fault({ replication, shards }: SetPlacement): string | null {
    const founded = this.current?.founders.length ?? shards.length;
    if ((replication === 0 || shards.length === 0) && !mutant("system-placement-of-nothing")) return "a placement of nothing";
    // A message's shard follows from their number: another one would look for it elsewhere.
    if (shards.length !== founded && !mutant("system-placement-other-shards")) return `${shards.length} shards; there are ${founded}`;
    for (const [shard, nodes] of shards.entries()) {
      if (nodes.length === 0 && !mutant("system-placement-nowhere")) return `shard ${shard + 1} is nowhere`;
      if (new Set(nodes).size !== nodes.length && !mutant("system-placement-twice-at-one")) return `shard ${shard + 1} names a node twice`;
      const stranger = nodes.find((node) => !this.isKnown(node));
      if (stranger !== undefined && !mutant("system-placement-unknown-node"))
        return `shard ${shard + 1} names ${stranger}, which is unknown`;
    }
    return null;
  }

  /** Only who was seen with a disk can found a group (rule G2) or be given a part of one. */
  private isKnown(node: string): boolean {
    return (this.registry.nodes.get(node)?.storage ?? "") !== "";
  }

  private founders(shards: SetPlacement["shards"]): PlacementView["founders"] {
    return shards.map((nodes) => nodes.map((node) => ({ node, storage: this.registry.nodes.get(node)?.storage ?? "" })));
  }
}

function placementDigest({ epoch, replication, founders, shards }: PlacementView): number {
  let hash = mix(mix(shards.length, epoch), replication);
  for (const founded of founders) {
    hash = mix(hash, founded.length);
    for (const { node, storage } of founded) hash = mix(mix(hash, hashText(node)), hashText(storage));
  }
  for (const nodes of shards) {
    hash = mix(hash, nodes.length);
    for (const node of nodes) hash = mix(hash, hashText(node));
  }
  return avalanche(hash);
}
