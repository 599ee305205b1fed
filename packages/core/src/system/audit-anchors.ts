import { mutant } from "#mutation";
import type { AnchorAudit, AuditMark, Result } from "@trivet/wire";
import { done } from "../locks/answers.ts";
import { avalanche, Digest, hashText, mix } from "./digest.ts";
import type { Ledger } from "./ledger.ts";
import { auditLimits } from "./limits.ts";
import { compareNames } from "./names.ts";
import type { NodeRegistry } from "./node-registry.ts";
import type { AuditAnchor, AuditChainView, AuditedNodeView } from "./view.ts";

/**
 * Heads of the nodes' audit logs (docs/decisions/0036-audit-anchors.md): what was the end of such a file stands here, where whoever can write the file cannot
 * change it. Each anchor of a chain follows from the one before, so that a log which was cut off or written anew has none behind its last true one.
 */
export class AuditAnchors {
  /** Views are replaced, never changed: who has one, as a snapshot does, keeps it. */
  readonly nodes: Map<string, AuditedNodeView> = new Map();
  /** Sum over the nodes. */
  readonly digest: Digest = new Digest();
  private readonly ledger: Ledger;
  private readonly registry: NodeRegistry;

  constructor(ledger: Ledger, registry: NodeRegistry) {
    this.ledger = ledger;
    this.registry = registry;
  }

  anchor({ node, chain, head, before }: AnchorAudit): Result {
    // Members are bounded, and so are the anchors.
    if (!this.registry.nodes.has(node) && !mutant("system-anchor-of-anybody")) return { type: "not-found", what: "node" };
    const known = this.nodes.get(node) ?? { node, begun: 0, chains: [] };
    const last = known.chains.find((one) => one.chain === chain)?.anchors.at(-1) ?? null;
    // Its sender did not hear the answer.
    if (isSame(last, head)) return done;
    const follows = isSame(last, before) || mutant("system-anchor-unlinked");
    const rises = last === null || head.seq > last.seq || mutant("system-anchor-backwards");
    if (!follows || !rises) return { type: "anchor-refused", last: last === null ? null : { seq: last.seq, mac: last.mac } };
    const { seq, mac } = head;
    const newest: AuditAnchor = { seq, mac, at: this.ledger.groupTime, ordinal: (last?.ordinal ?? 0) + 1 };
    this.insert(last === null ? begun(known, chain, newest) : continued(known, chain, newest));
    this.trim();
    return done;
  }

  /** Puts a node's anchors in place: with a newer one, or those of a snapshot. */
  insert(view: AuditedNodeView): void {
    this.remove(view.node);
    this.nodes.set(view.node, view);
    this.digest.add(auditDigest(view));
  }

  /** What a removed node has left behind stays, so that removing it does not hide what was done there; but not of any number of them. */
  trim(): void {
    if (mutant("system-anchors-unbounded")) return;
    const gone = [...this.nodes.values()].filter(({ node }) => !this.registry.nodes.has(node));
    if (gone.length <= auditLimits.keptRemovedNodes) return;
    gone.sort((a, b) => anchoredAt(b) - anchoredAt(a) || compareNames(a.node, b.node));
    for (const { node } of gone.slice(auditLimits.keptRemovedNodes)) this.remove(node);
  }

  /** In the order of their names. */
  all(): readonly AuditedNodeView[] {
    return [...this.nodes.values()].sort((a, b) => compareNames(a.node, b.node));
  }

  private remove(node: string): void {
    const known = this.nodes.get(node);
    if (known === undefined) return;
    this.nodes.delete(node);
    this.digest.remove(auditDigest(known));
  }
}

function begun({ node, begun: count, chains }: AuditedNodeView, chain: string, first: AuditAnchor): AuditedNodeView {
  const number = count + 1;
  const dropped = chains.length < auditLimits.keptLogs || mutant("system-anchors-unbounded") ? null : longestSilent(chains);
  return { node, begun: number, chains: [...chains.filter((one) => one !== dropped), { chain, number, anchors: [first] }] };
}

function longestSilent(chains: readonly AuditChainView[]): AuditChainView | null {
  return chains.reduce<AuditChainView | null>((found, one) => (found === null || newestAt(one) < newestAt(found) ? one : found), null);
}

function continued(known: AuditedNodeView, chain: string, newest: AuditAnchor): AuditedNodeView {
  const chains = known.chains.map((one): AuditChainView =>
    one.chain === chain ? { ...one, anchors: withNewest(one.anchors, newest) } : one,
  );
  return { ...known, chains };
}

/**
 * Older anchors are kept the more sparsely the older they are: the newest two of each power of two that divides their ordinals. However long ago the end of
 * a log was written anew, one of about that time is still there to tell.
 */
function withNewest(anchors: readonly AuditAnchor[], newest: AuditAnchor): readonly AuditAnchor[] {
  const level = levelOf(newest);
  const alike = anchors.filter((anchor) => levelOf(anchor) === level);
  const dropped = alike.length < auditLimits.keptPerPowerOfTwo || mutant("system-anchors-unbounded") ? undefined : alike[0];
  return [...anchors.filter((anchor) => anchor !== dropped), newest];
}

/** How often 2 divides its ordinal. */
function levelOf({ ordinal }: AuditAnchor): number {
  let level = 0;
  for (let rest = ordinal; rest % 2 === 0; rest /= 2) level++;
  return level;
}

function isSame(anchor: AuditMark | null, mark: AuditMark | null): boolean {
  return anchor?.seq === mark?.seq && anchor?.mac === mark?.mac;
}

/** Group time of the newest anchor. */
function anchoredAt({ chains }: AuditedNodeView): number {
  return Math.max(...chains.map(newestAt));
}

function newestAt({ anchors }: AuditChainView): number {
  return anchors.at(-1)?.at ?? 0;
}

/** Of one node, for the state hash. */
export function auditDigest({ node, begun: count, chains }: AuditedNodeView): number {
  let hash = mix(mix(hashText(node), count), chains.length);
  for (const { chain, number, anchors } of chains) {
    hash = mix(mix(mix(hash, hashText(chain)), number), anchors.length);
    for (const { seq, mac, at, ordinal } of anchors) hash = mix(mix(mix(mix(hash, seq), hashText(mac)), at), ordinal);
  }
  return avalanche(hash);
}

/** What apply would not have made of them; null = nothing. */
export function auditFault({ node, begun: count, chains }: AuditedNodeView): string | null {
  const numbers = chains.map(({ number }) => number);
  const isCounted = rises(numbers) && (numbers.at(0) ?? 0) >= 1 && (numbers.at(-1) ?? 0) <= count;
  if (!isCounted || chains.length > auditLimits.keptLogs) return `${node} has begun ${count} audit logs, and there are ${numbers.join()}`;
  if (new Set(chains.map(({ chain }) => chain)).size !== chains.length) return `${node} has a chain twice`;
  const wrong = chains.find(({ anchors }) => !areAnchors(anchors));
  return wrong === undefined ? null : `the anchors of chain ${wrong.chain} of ${node} do not rise`;
}

function areAnchors(anchors: readonly AuditAnchor[]): boolean {
  if (anchors.length === 0 || !rises(anchors.map(({ seq }) => seq)) || !rises(anchors.map(({ ordinal }) => ordinal))) return false;
  if ((anchors[0]?.ordinal ?? 0) < 1) return false;
  const counts = new Map<number, number>();
  for (const anchor of anchors) counts.set(levelOf(anchor), (counts.get(levelOf(anchor)) ?? 0) + 1);
  return [...counts.values()].every((count) => count <= auditLimits.keptPerPowerOfTwo);
}

function rises(numbers: readonly number[]): boolean {
  return numbers.every((number, i) => i === 0 || number > (numbers[i - 1] as number));
}
