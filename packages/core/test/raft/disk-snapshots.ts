import { logIndex, type LogIndex, type RaftEffects, type SnapshotMeta, type Term } from "@trivet/core";
import type { Disk, TestNode } from "./test-node.ts";

type SnapshotEffect<T> = Extract<RaftEffects["snapshots"][number], { type: T }>;

const text = new TextEncoder();
const untext = new TextDecoder();

/** The state machine as the snapshot on `disk` holds it. */
export function appliedIn(disk: Disk): string[] {
  return disk.snapshot === null ? [] : JSON.parse(untext.decode(disk.snapshot.data));
}

/** Writes all that `node` has applied as its snapshot; the log is kept from `keep` entries before `index` on. */
export function takeSnapshot(
  node: TestNode,
  { id, index, term, keep }: { readonly id: string; readonly index: LogIndex; readonly term: Term; readonly keep: number },
): { readonly meta: SnapshotMeta; readonly keepFrom: LogIndex } {
  const data = text.encode(JSON.stringify(node.applied));
  const { membership, index: membershipIndex } = node.group.membershipAt(index);
  const meta = { id, index, term, membership, membershipIndex, bytes: data.length };
  node.disk.snapshot = { meta, data };
  const keepFrom = logIndex(Math.max(index - keep + 1, node.group.firstIndex));
  node.disk.membership = membership;
  node.disk.membershipIndex = membershipIndex;
  node.disk.entries = node.disk.entries.filter((entry) => entry.index > index);
  return { meta, keepFrom };
}

export function readChunk({ disk, group }: TestNode, effect: SnapshotEffect<"read-chunk">): void {
  const found = disk.snapshot !== null && (effect.id === null || effect.id === disk.snapshot.meta.id) ? disk.snapshot : null;
  const data = found?.data.subarray(effect.offset, effect.offset + effect.maxBytes) ?? new Uint8Array(0);
  const done = found !== null && effect.offset + data.length >= found.meta.bytes;
  group.step({ type: "chunk-read", to: effect.to, meta: found?.meta ?? null, offset: effect.offset, data, done });
}

export function writeChunk({ disk, group }: TestNode, effect: SnapshotEffect<"write-chunk">): void {
  if (disk.incoming?.id !== effect.meta.id) disk.incoming = { id: effect.meta.id, bytes: new Uint8Array(0) };
  const { incoming } = disk;
  if (effect.offset === incoming.bytes.length) incoming.bytes = new Uint8Array([...incoming.bytes, ...effect.data]);
  group.step({ type: "chunk-written", id: effect.meta.id, offset: incoming.bytes.length, failed: false });
}

/** The snapshot that came in takes the place of the state machine and of the log it covers. */
export function installIncoming(node: TestNode, meta: SnapshotMeta): void {
  const { disk } = node;
  const data = disk.incoming?.bytes ?? new Uint8Array(0);
  if (data.length !== meta.bytes) throw new Error(`snapshot of ${data.length} bytes instead of ${meta.bytes}`);
  const keep = disk.entries.find((entry) => entry.index === meta.index)?.term === meta.term;
  disk.snapshot = { meta, data };
  disk.incoming = null;
  disk.membership = meta.membership;
  disk.membershipIndex = meta.membershipIndex;
  disk.entries = keep ? disk.entries.filter((entry) => entry.index > meta.index) : [];
  const applied: string[] = JSON.parse(untext.decode(data));
  if (meta.index < node.appliedIndex) throw new Error(`${node.id} goes back to ${meta.index} from ${node.appliedIndex}`);
  node.applied = applied;
  node.appliedIndex = meta.index;
  node.snapshotsInstalled++;
  node.group.step({ type: "installed", meta });
}
