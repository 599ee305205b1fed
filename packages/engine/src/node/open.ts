import {
  decodeMembershipPayload,
  type GroupId,
  groupId,
  logIndex,
  type Membership,
  nodeId,
  type RaftRestored,
  type SnapshotMeta,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { openSnapshotStore } from "../log/snapshot-store.ts";
import type { Doubt, FatalStorage, RecoveredGroup, SnapshotStoreApi, WalApi, WalFinding } from "../log/types.ts";
import { openWal } from "../log/wal.ts";
import type { Done, FileStore } from "../ports/file.ts";
import type { Ports } from "../ports/index.ts";
import { type ClusterIdentity, logDirectory, readBootstrapFiles } from "../members/bootstrap.ts";
import type { NodeHostConfig } from "./config.ts";
import { maxSystemVoters } from "../base/limits.ts";
import type { GroupMachine, MachineFactory } from "../groups/machine.ts";
import { assemble, connects, emptyGroup } from "../groups/restore.ts";
import { SystemMachine } from "../groups/system-machine.ts";

/** Group 0 as founded: the first nodes by id vote, further ones are learners (rule G3). A node that joined starts with nobody. */
export function foundingMembership(identity: ClusterIdentity): Membership {
  const nodes = identity.founders.map((founder) => nodeId(founder.node)).sort();
  return {
    voters: nodes.slice(0, maxSystemVoters),
    outgoing: [],
    learners: nodes.slice(maxSystemVoters),
    learnersNext: [],
    autoLeave: false,
  };
}

export interface RestoredGroup {
  readonly restored: RaftRestored;
  readonly machine: GroupMachine;
  /** Acknowledged entries are missing between the snapshot and the log (rule W6): what, or null. No later start sees it as clearly. */
  readonly lost: string | null;
}

/**
 * Puts a group together from its newest good snapshot and the log after it. The log may be older (a snapshot was adopted and the
 * crash came before the WAL knew): then only a suffix that matches the snapshot's term is kept (rule W5).
 */
export function restoreGroup(
  identity: ClusterIdentity,
  recovered: RecoveredGroup | undefined,
  doubtElse: Doubt | null,
  snapshots: SnapshotStoreApi,
  factory: MachineFactory,
  now: number,
  done: (error: Error | null, group: RestoredGroup | null) => void,
  progress: Progress = untold,
): void {
  const meta = snapshots.latest();
  const doubt = recovered === undefined ? doubtElse : recovered.doubt;
  if (meta === null) {
    const floor = recovered?.floor ?? null;
    if (floor !== null && floor.index > 0) {
      // The WAL was trimmed behind a snapshot that is gone: only peers can restore this node (rule W6).
      const nothing = { ...emptyGroup, hardState: recovered?.hardState ?? emptyGroup.hardState };
      const lost = `the snapshot at index ${floor.index} is gone, and the log begins after it`;
      done(null, { restored: assemble(foundingMembership(identity), nothing, null, now, "damage"), machine: new SystemMachine(), lost });
      return;
    }
    done(null, { restored: assemble(foundingMembership(identity), recovered, null, now, doubt), machine: new SystemMachine(), lost: null });
    return;
  }
  // An older snapshot was fallen back to and the log was trimmed behind the newer one: acknowledged entries are missing here (rule W6).
  const gap =
    recovered !== undefined && recovered.floor !== null && recovered.floor.index > meta.index && !connects(recovered.entries, meta);
  loadMachine(snapshots, meta, factory, progress, (error, machine) => {
    if (error !== null || machine === null) done(error, null);
    else {
      const lost = gap ? `the newest good snapshot ends at index ${meta.index}, and the log does not go on there` : null;
      done(null, { restored: assemble(foundingMembership(identity), recovered, meta, now, gap ? "damage" : doubt), machine, lost });
    }
  });
}

/** Each chunk comes from the disk in a turn of its own, so that the node answers meanwhile. */
function loadMachine(
  snapshots: SnapshotStoreApi,
  meta: SnapshotMeta,
  factory: MachineFactory,
  progress: Progress,
  done: (error: Error | null, machine: GroupMachine | null) => void,
): void {
  snapshots.open(meta, (openError, reader) => {
    if (openError !== null || reader === null) {
      done(openError, null);
      return;
    }
    const loader = factory.loader(meta.index);
    let loaded = 0;
    const failed = (problem: Error): void => {
      reader.close();
      loader.abort();
      done(problem, null);
    };
    const step = (): void =>
      reader.next((error, chunk) => {
        if (error !== null) failed(error);
        else if (chunk === null) {
          reader.close();
          loader.finish(done);
        } else {
          loader.push(chunk, (problem) => {
            if (problem !== null) return failed(problem);
            loaded += chunk.length;
            progress(`loading the snapshot: ${Math.floor((loaded / meta.bytes) * 100)} % of ${meta.bytes} bytes`);
            step();
          });
        }
      });
    step();
  });
}

/** One process per data directory; a second one is told who holds it. */
export function lockDataDirectory(files: FileStore, done: Done): void {
  files.makeDirectory("", (error) => {
    if (error !== null && error.code !== "exists") done(error);
    else files.lock("lock", done);
  });
}

/** Takes the directory for this process, and reads who it belongs to. */
export function takeDataDirectory(ports: Ports, done: Parameters<typeof readBootstrapFiles>[1]): void {
  lockDataDirectory(ports.files, (error) => {
    if (error !== null) done(error, null, null);
    else readBootstrapFiles(ports, done);
  });
}

export interface OpenedSystem extends RestoredGroup {
  readonly wal: WalApi;
  readonly snapshots: SnapshotStoreApi;
  /** What the log says of all groups. */
  readonly groups: ReadonlyMap<GroupId, RecoveredGroup>;
  /** Of groups that it says nothing of. */
  readonly doubt: Doubt | null;
}

/** Told to whoever asks a node that starts how far it is. */
export type Progress = (detail: string) => void;
const untold: Progress = () => {};

/** Opens the log and the snapshots of group 0 and puts its state together. */
export function openSystemLog(
  ports: Ports,
  config: NodeHostConfig,
  identity: ClusterIdentity,
  mustExist: boolean,
  factory: MachineFactory,
  fatal: FatalStorage,
  done: (error: Error | null, opened: OpenedSystem | null) => void,
  progress: Progress = untold,
): void {
  const read = (segments: number, of: number): void => progress(`reading the log: ${segments} of ${of} segments`);
  openWal(
    ports,
    { directory: logDirectory, segmentBytes: config.walSegmentBytes, roomBytes: config.walRoomBytes, mustExist, progress: read },
    fatal,
    (walError, opened) => {
      if (walError !== null || opened === null) {
        done(walError, null);
        return;
      }
      for (const finding of opened.findings) reportFinding(ports, finding);
      progress("checking the snapshots");
      openSnapshotStore(ports, { directory: "snapshots/0", group: groupId(0) }, fatal, (storeError, snapshots) => {
        if (storeError !== null || snapshots === null) {
          done(storeError, null);
          return;
        }
        restoreGroup(
          identity,
          opened.groups.get(groupId(0)),
          opened.doubt,
          snapshots,
          factory,
          ports.clock.now(),
          (error, group) => {
            if (error !== null || group === null) {
              done(error, null);
              return;
            }
            const recovered = opened.groups.get(groupId(0));
            const only = onlyCopyDamaged(config, group, recovered, opened.findings);
            if (only !== null) {
              done(only, null);
              return;
            }
            recordLoss(opened.wal, group.lost, () =>
              recordAdopted(opened.wal, recovered, snapshots, () => done(null, { ...group, ...opened, snapshots })),
            );
          },
          progress,
        );
      });
    },
  );
}

/**
 * What is refetched hides the hole: a later start finds a log that goes on where a snapshot ends, and would vote although entries of before
 * are still missing at its end. So the loss is on disk before anything is fetched, until the node has caught up (`WalApi.trust`).
 */
function recordLoss(wal: WalApi, lost: string | null, then: () => void): void {
  if (lost === null || mutant("host-gap-forgotten")) then();
  else wal.distrust(groupId(0), lost, then);
}

/**
 * A crash came between adopting a snapshot and recording it (rule W5): the log learns of it before anything is appended, else entries of
 * before the snapshot would void what is acknowledged from now on.
 */
function recordAdopted(wal: WalApi, recovered: RecoveredGroup | undefined, snapshots: SnapshotStoreApi, then: () => void): void {
  const meta = snapshots.latest();
  if (meta === null || meta.index <= (recovered?.floor?.index ?? 0)) {
    then();
    return;
  }
  const { index, term: snapshotTerm, membership, membershipIndex } = meta;
  const floor = { group: groupId(0), index, term: snapshotTerm, membership, membershipIndex, keepFrom: logIndex(index + 1) };
  wal.installed(floor, connects(recovered?.entries ?? [], meta), then);
}

function reportFinding(ports: Ports, finding: WalFinding): void {
  if (finding.type === "torn-tail") {
    ports.telemetry.log(
      "info",
      "storage.torn-tail",
      `${finding.file}: ${finding.bytes} bytes of an unfinished write cut at offset ${finding.offset}`,
      { ...finding },
    );
    return;
  }
  ports.telemetry.count("trivet_storage_corruptions_total", 1, { kind: "wal" });
  ports.telemetry.log("error", "storage.corrupt", `${finding.file} is damaged at offset ${finding.offset}: ${finding.detail}`, {
    ...finding,
  });
}

/** Only a person can decide what to do about it. */
export class DamagedLogError extends Error {
  readonly code = "damaged";
}

/**
 * Rule W6: where no other node has the data, a damaged log refuses to start and names the place. Who has it is said by the newest configuration
 * on this disk, also one that stands behind the damage: the cluster may have grown since that of the snapshot or the founding.
 */
function onlyCopyDamaged(
  config: NodeHostConfig,
  { restored, lost }: RestoredGroup,
  recovered: RecoveredGroup | undefined,
  findings: readonly WalFinding[],
): DamagedLogError | null {
  if (restored.mayVote) return null;
  const membership = mutant("host-only-copy-by-founders") ? restored.membership : newestMembership(restored, recovered);
  // With a torn end, a learner's log settles what was lost (rule W3); what is damaged needs somebody who can be elected.
  const others = [...membership.voters, ...membership.outgoing, ...(restored.onlyTornTail === true ? membership.learners : [])];
  if (others.some((node) => node !== config.node) || membership.voters.length === 0) return null;
  const damage = findings.find((finding) => finding.type === "corrupt") ?? findings[0];
  const place = damage === undefined ? (lost ?? "the log is damaged") : `${damage.file} at offset ${damage.offset} is damaged`;
  return new DamagedLogError(
    `${place}, and it is the only copy of this cluster's data: restore a backup, or start a new cluster in another DATA_DIR`,
  );
}

function newestMembership(restored: RaftRestored, recovered: RecoveredGroup | undefined): Membership {
  if (recovered !== undefined && recovered.lostConfig !== null) return decodeMembershipPayload(recovered.lostConfig);
  let { membershipIndex: index, membership } = restored;
  const floor = recovered?.floor ?? null;
  if (floor !== null && floor.membershipIndex > index) ({ membershipIndex: index, membership } = floor);
  const entry = recovered?.entries.findLast(({ kind }) => kind === "config");
  return entry !== undefined && entry.index > index ? decodeMembershipPayload(entry.payload) : membership;
}
