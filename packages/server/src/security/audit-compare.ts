import type { AuditHead, AuditVerdict } from "./audit-chain.ts";

/** What `GET /v1/audit/anchors` answers. */
export interface ClusterAudit {
  readonly anchoring: boolean;
  readonly nodes: readonly AuditedNode[];
}
interface AuditedNode {
  readonly node: string;
  readonly member: boolean;
  readonly logs_begun: number;
  readonly logs: readonly AnchoredChain[];
}
interface AnchoredChain {
  readonly chain: string;
  readonly number: number;
  readonly anchors: readonly { readonly seq: string; readonly mac: string; readonly at_ms: number }[];
}

/** A log that was checked, against these anchors too. */
export interface ComparedLog {
  readonly file: string;
  readonly verdict: AuditVerdict;
}
export interface Comparison {
  /** Whose logs the cluster was asked about; null where nothing tells. */
  readonly node: string | null;
  readonly faults: readonly string[];
  /** What could not be told, and why. */
  readonly notes: readonly string[];
}

export function anchorsOfChains({ nodes }: ClusterAudit): ReadonlyMap<string, readonly AuditHead[]> {
  const all = new Map<string, AuditHead[]>();
  // Two nodes have one chain where a directory was copied: what either anchored has to be in the log.
  for (const { anchors, chain } of nodes.flatMap((audited) => audited.logs)) {
    const known = all.get(chain) ?? [];
    all.set(chain, [...known, ...anchors.map(({ seq, mac }) => ({ seq: Number(seq), mac }))]);
  }
  return all;
}

/** What the files alone cannot show: that a log is another one than the cluster knows of its node, or is not all of them. */
export function compareWithCluster(
  cluster: ClusterAudit,
  /** Former ones first; the last is the one that is written. */
  logs: readonly ComparedLog[],
  /** Chains whose files are known to be lost. */
  lost: readonly string[] = [],
  given: string | null = null,
): Comparison {
  const chains = logs.map(({ verdict }) => verdict.chain);
  const owner = cluster.nodes.find((audited) => audited.logs.some(({ chain }) => chains.includes(chain)))?.node ?? null;
  const node = given ?? owner ?? logs.at(-1)?.verdict.node ?? null;
  const audited = cluster.nodes.find((one) => one.node === node) ?? null;
  const unknown = (some: readonly ComparedLog[]): readonly string[] =>
    cluster.anchoring ? some.flatMap((log) => unknownTo(log, audited)) : [];
  const faults = [
    ...logsOfOthers(logs, node),
    ...(audited === null ? [] : missing(audited, chains, lost)),
    ...logs.flatMap((log) => beginsBehind(log, cluster)),
    ...unknown(logs.slice(-1)),
  ];
  // Of former ones the anchors go in time, and there may never have been any.
  const former = unknown(logs.slice(0, -1)).map((text) => `${text}.`);
  return { node, faults, notes: [...notesOn(cluster, audited, node), ...former, ...sharedBy(cluster, logs, node)] };
}

/** They may be whole, and another node's. */
export function logsOfOthers(logs: readonly ComparedLog[], node: string | null): string[] {
  return logs
    .filter(({ verdict }) => verdict.node !== null && verdict.node !== node)
    .map(({ file, verdict }) => `${file} is a log of ${verdict.node ?? ""}, not of ${node ?? "any node"}`);
}

/** A log that was put in another one's place has a chain of its own. */
function missing({ node, logs_begun: begun, logs }: AuditedNode, chains: readonly (string | null)[], lost: readonly string[]): string[] {
  return logs
    .filter(({ chain }) => !chains.includes(chain) && !lost.includes(chain))
    .map(({ anchors, chain, number }) => {
      const newest = anchors.at(-1);
      const until = newest === undefined ? "" : ` up to its record ${newest.seq} of ${new Date(newest.at_ms).toISOString()}`;
      return `of ${node} the cluster has anchors of another log (${number} of ${begun}, chain ${chain})${until}, which is not among these: one was begun anew, or put in the place of that one`;
    });
}

/**
 * Where a file begins it says itself, and who has the key can make it say that it begins behind all anchors. Those of the cluster alone tell: what
 * was printed may be from before the node put files aside.
 */
function beginsBehind({ file, verdict }: ComparedLog, { nodes }: ClusterAudit): string[] {
  const anchors = nodes.flatMap(({ logs }) => logs.filter(({ chain }) => chain === verdict.chain)).flatMap((log) => log.anchors);
  const newest = Math.max(0, ...anchors.map(({ seq }) => Number(seq)));
  if (newest === 0 || newest >= verdict.first) return [];
  return [
    `${file} begins with record ${verdict.first}, and the newest anchor of its chain is of record ${newest}: nothing in it was ever anchored; give the file with that record, or it was written anew`,
  ];
}

function unknownTo({ file, verdict }: ComparedLog, audited: AuditedNode | null): string[] {
  if (audited?.logs.some(({ chain }) => chain === verdict.chain) === true) return [];
  const why =
    audited !== null && audited.logs_begun > audited.logs.length
      ? "its anchors are no longer kept, or it was begun elsewhere"
      : "its node has not reached the cluster since it was begun, or it was begun elsewhere";
  return [`the cluster has no anchor of ${file} (${verdict.chain === null ? "it has no chain" : `chain ${verdict.chain}`}): ${why}`];
}

/** A directory that was copied to another node, which went on with the log as its own. */
function sharedBy({ nodes }: ClusterAudit, logs: readonly ComparedLog[], node: string | null): string[] {
  const own = new Set(logs.filter(({ verdict }) => verdict.node === node).map(({ verdict }) => verdict.chain));
  return nodes
    .filter((one) => one.node !== node)
    .flatMap((one) => one.logs.filter(({ chain }) => own.has(chain)).map(({ chain }) => ({ chain, other: one.node })))
    .map(({ chain, other }) => `${other} has anchored a log of the same chain (${chain}): its files were copied from one node to another.`);
}

function notesOn({ anchoring }: ClusterAudit, audited: AuditedNode | null, node: string | null): string[] {
  if (!anchoring)
    return ["Not every member of the cluster knows anchors yet (feature level 6), so it has none: a missing end would not be noticed."];
  if (audited === null) return [];
  const gone = audited.logs_begun - audited.logs.length;
  return [
    ...(gone > 0 ? [`${node ?? ""} has begun ${audited.logs_begun} logs; the anchors of ${gone} of them are no longer kept.`] : []),
    ...(audited.member ? [] : [`${node ?? ""} is no member any more.`]),
  ];
}
