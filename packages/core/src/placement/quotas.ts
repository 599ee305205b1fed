import { mutant } from "#mutation";
import type { NodeId } from "../kernel/brand.ts";

/**
 * How many of `total` each node is to have: all the same, or one more where it does not divide. The nodes that have the most already get
 * the larger shares, so that fewest move; then those that come first in `order`.
 */
export function quotas(total: number, order: readonly NodeId[], loads: ReadonlyMap<NodeId, number>): Map<NodeId, number> {
  const least = Math.floor(total / order.length);
  let larger = total % order.length;
  const load = (node: NodeId): number => (mutant("placement-shares-by-name") ? 0 : (loads.get(node) ?? 0));
  const ranked = [...order].sort((a, b) => load(b) - load(a));
  return new Map(ranked.map((node) => [node, least + (larger-- > 0 ? 1 : 0)]));
}
