import { groupId, invariant, type LogIndex } from "@trivet/core";
import type { GroupExport } from "../node/node-api.ts";
import type { GroupHost } from "./group-host.ts";
import { snapshotChunkBytes } from "../base/limits.ts";
import type { NodeHost } from "../node/node-host.ts";

type Done = (opened: GroupExport | null) => void;

/**
 * The state of one group as of an index at or behind everything acknowledged before this call, for a backup: the barrier of a linearizable
 * read comes first. The group goes on meanwhile. Null = it cannot be had here now: no leader confirmed in time, no replica, a state in doubt.
 */
export function openExport(host: NodeHost, group: number, timeoutMs: number, done: Done): void {
  const replica = group === 0 ? host.system : (host.shards?.replica(groupId(group))?.group ?? null);
  if (replica === null || host.phase === "removed") {
    host.ports.clock.defer(() => done(null));
    return;
  }
  replica.reads.barrier(timeoutMs, (ready) => {
    if (!ready || replica.stateDoubted || host.isStopped) done(null);
    else if (group === 0) exportSnapshot(host, replica, replica.appliedIndex, done);
    else done(exportCut(host, replica));
  });
  host.markDirty();
}

function describe(host: NodeHost, { id }: GroupHost): Pick<GroupExport, "cluster" | "node" | "group" | "shards" | "groupTime"> {
  const { config, groupTime, identity } = host;
  return { cluster: identity?.cluster ?? "", node: config.node, group: id, shards: identity?.shards ?? 0, groupTime: groupTime.now() };
}

/** Through the file of a snapshot: a state in memory is cut for one reader at a time, and must not wait for a slow one. */
function exportSnapshot(host: NodeHost, system: GroupHost, atLeast: LogIndex, done: Done): void {
  system.snapshots.request((index) => {
    // One that was being taken already is older than what was asked for.
    if (index < atLeast) return exportSnapshot(host, system, atLeast, done);
    const store = system.snapshots.ports.snapshots;
    const meta = store.latest();
    if (meta === null) return done(null);
    store.open(meta, (_damaged, reader) => {
      if (reader === null) return done(null);
      done({
        ...describe(host, system),
        index: meta.index,
        term: meta.term,
        next: (give) => reader.next((error, chunk) => give(error?.message ?? null, chunk)),
        close: () => reader.close(),
      });
    });
  });
}

/** Straight from the store, whose cuts cost nothing but old pages. */
function exportCut(host: NodeHost, replica: GroupHost): GroupExport {
  const index = replica.handedIndex;
  const term = replica.raft.termAt(index);
  invariant(term !== null, "exported-term-known", () => `no term for the index ${index}`);
  const cut = replica.machine.beginSnapshot(index);
  return {
    ...describe(host, replica),
    index,
    term,
    next: (give) => cut.next(snapshotChunkBytes, (chunk) => give(null, chunk)),
    close: () => cut.abort(),
  };
}
