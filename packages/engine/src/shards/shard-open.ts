import { type GroupId, logIndex, type Membership, type RaftRestored, type SnapshotMeta, term } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { assemble, connects } from "../groups/restore.ts";
import { type Doubt as StateDoubt, readDoubt } from "../state-audit/state-audit-marker.ts";
import type { Doubt, RecoveredGroup, SnapshotReader, SnapshotStoreApi, WalApi } from "../log/types.ts";
import { openSnapshotStore } from "../log/snapshot-store.ts";
import type { Ports } from "../ports/index.ts";
import { StoreDamaged } from "../ports/ordered-store.ts";
import { markMeta, type Opened, shardLoader } from "./shard-machine.ts";
import { storeProblem } from "./store-problem.ts";
import type { ApplyWorker } from "./worker-protocol.ts";

export interface OpenedShard {
  /** An earlier run found that its state differs from the others' (rule W7). */
  readonly stateDoubt: StateDoubt | null;
  readonly restored: RaftRestored;
  readonly opened: Opened;
  readonly snapshots: SnapshotStoreApi;
}

export interface ShardOpening {
  readonly group: GroupId;
  /** Configuration where the log says nothing of one: the founders, or nobody on a node that was added later. */
  readonly founding: Membership;
  readonly recovered: RecoveredGroup | undefined;
  /** For a group that the log says nothing of. */
  readonly doubtElse: Doubt | null;
  readonly worker: ApplyWorker;
  readonly wal: WalApi;
}

/** Where a shard's snapshots for other replicas lie, and those received from them. */
export function snapshotDirectory(group: GroupId): string {
  return `snapshots/${group}`;
}

/**
 * Puts a shard together from its store and the log after it. The store stands where it was flushed last; the log was never trimmed beyond that
 * (rule W1), except when a snapshot had been installed and the crash came before its store was filled: then it is filled now (W5).
 */
export function openShard(ports: Ports, opening: ShardOpening, done: (error: Error | null, shard: OpenedShard | null) => void): void {
  const { group, worker } = opening;
  const failed = (error: Error): void => done(error, null);
  openSnapshotStore(ports, { directory: snapshotDirectory(group), group }, failed, (storeError, snapshots) => {
    if (storeError !== null || snapshots === null) return done(storeError, null);
    worker.call({ type: "open", group }, (reply) => {
      if (reply.type === "failed" && reply.cause === "damaged") return failed(new StoreDamaged(`g${group}`, reply.detail));
      if (reply.type !== "opened") return failed(storeProblem(`the store of shard ${group}`, reply));
      const floor = opening.recovered?.floor?.index ?? 0;
      const latest = snapshots.latest();
      if (floor > reply.mark.index && latest !== null && latest.index >= floor) {
        fill(opening, snapshots, (error, opened) => {
          if (opened === null) failed(error ?? new Error("the snapshot could not be loaded"));
          else restore(ports, opening, opened, snapshots, done);
        });
      } else restore(ports, opening, reply, snapshots, done);
    });
  });
}

function restore(
  ports: Ports,
  { group, founding, recovered, doubtElse, wal }: ShardOpening,
  opened: Opened,
  snapshots: SnapshotStoreApi,
  done: (error: Error | null, shard: OpenedShard | null) => void,
): void {
  const meta = markMeta(group, opened.mark, founding);
  const doubt = recovered === undefined ? doubtElse : recovered.doubt;
  const floor = recovered?.floor?.index ?? 0;
  const base = meta ?? { id: "", index: logIndex(0), term: term(0), membership: founding, membershipIndex: logIndex(0), bytes: 0 };
  const isShort =
    recovered !== undefined && floor > base.index && !connects(recovered.entries, base) && !mutant("shard-short-store-trusted");
  // What is acknowledged is missing here, and refetching will hide it: on disk before anything is fetched (rule W6).
  const finish = (): void => {
    const restored = assemble(founding, recovered, meta, ports.clock.now(), isShort && doubt !== "newcomer" ? "damage" : doubt);
    // Known before the first message, or it could be elected with a state that it knows to be wrong.
    readDoubt(ports.files, ports.crypto, group, (error, stateDoubt) => {
      done(error, error === null ? { restored, opened, snapshots, stateDoubt } : null);
    });
  };
  // Who has nothing of the past to rely on has lost no part of it (rule G5).
  if (!isShort || doubt === "newcomer") return recordAhead(wal, recovered, meta, group, finish);
  const detail = `the store of shard ${group} ends at index ${base.index}, and the log begins after ${floor}`;
  ports.telemetry.log("error", "storage.corrupt", detail, { group });
  wal.distrust(group, detail, finish);
}

/**
 * Damage took the end of the log, and the store is ahead of what is left (rule W6). The log learns of it before anything is appended, else what
 * follows would leave a hole in it, and every start would find that again.
 */
function recordAhead(
  wal: WalApi,
  recovered: RecoveredGroup | undefined,
  meta: SnapshotMeta | null,
  group: GroupId,
  then: () => void,
): void {
  const isAhead = meta !== null && meta.index > (recovered?.floor?.index ?? 0) && !connects(recovered?.entries ?? [], meta);
  if (!isAhead || mutant("shard-store-ahead-unrecorded")) return then();
  const { index, term: at, membership, membershipIndex } = meta;
  wal.installed({ group, index, term: at, membership, membershipIndex, keepFrom: logIndex(index + 1) }, false, then);
}

function fill(
  { group, worker }: ShardOpening,
  snapshots: SnapshotStoreApi,
  done: (error: Error | null, opened: Opened | null) => void,
): void {
  const meta = snapshots.latest();
  if (meta === null) return done(null, null);
  snapshots.open(meta, (openError, reader) => {
    if (reader === null) return done(openError, null);
    let loaded: Opened | null = null;
    const loader = shardLoader(
      worker,
      group,
      meta.index,
      (opened) => {
        loaded = opened;
        return null;
      },
      // Nothing runs yet that would wait for space; the program that starts says what it lacks.
      null,
    );
    copy(
      reader,
      (chunk, pushed) => loader.push(chunk, pushed),
      (error) => {
        reader.close();
        if (error !== null) {
          loader.abort();
          done(error, null);
        } else loader.finish((problem) => done(problem, loaded));
      },
    );
  });
}

function copy(
  reader: SnapshotReader,
  push: (chunk: Uint8Array, done: (problem: Error | null) => void) => void,
  done: (error: Error | null) => void,
): void {
  reader.next((error, chunk) => {
    if (error !== null || chunk === null) return done(error);
    push(chunk, (problem) => (problem === null ? copy(reader, push, done) : done(problem)));
  });
}
