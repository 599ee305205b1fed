import type { NodeId } from "../kernel/brand.ts";
import { avalanche, hashText, mix } from "../system/digest.ts";

/**
 * The nodes in the order in which they should hold `shard`: rendezvous hashing (Thaler and Ravishankar 1998). A node that comes or goes
 * changes nothing between the others. Fixed for ever: clusters of two versions must agree.
 */
export function preference(shard: number, nodes: readonly NodeId[]): NodeId[] {
  const scored = nodes.map((node) => ({ node, score: avalanche(mix(hashText(node), shard)) >>> 0 }));
  scored.sort((a, b) => b.score - a.score || (a.node < b.node ? -1 : 1));
  return scored.map(({ node }) => node);
}
