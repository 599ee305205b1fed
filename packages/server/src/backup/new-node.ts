import { groupId, type LogIndex, logIndex, type Membership, type SystemState, type Term } from "@trivet/core";
import {
  type ClusterIdentity,
  type Floor,
  type IoError,
  identityFile,
  logDirectory,
  openSnapshotStore,
  openWal,
  type SnapshotStoreApi,
  type WalOpened,
  writeJsonFile,
} from "@trivet/engine";
import { given, offlinePorts, type OfflinePorts, settled, whileWriting } from "../offline/ports.ts";

/** Where a group of the new cluster begins: its state is there, its log is empty behind it. */
export interface GroupStart {
  readonly group: number;
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Membership;
}

/**
 * Makes the data directory of a node of a new cluster, but for the stores of its shards: the log, the snapshot of group 0, and, last, whose
 * it is. A directory without the latter is nobody's.
 */
export async function writeNode(
  directory: string,
  identity: ClusterIdentity,
  system: SystemState,
  groups: readonly GroupStart[],
): Promise<void> {
  const ports = offlinePorts(directory);
  const [first] = groups;
  if (first === undefined || first.group !== 0) throw new Error("a node without group 0");
  await settled((done) => ports.files.makeDirectory("", (error) => done(error?.code === "exists" ? null : error)));
  await whileWriting((fatal) => writeSnapshot(ports, first, system, fatal));
  await whileWriting((fatal) => writeLog(ports, groups, fatal));
  await settled((done) => writeJsonFile(ports.files, ports.crypto, identityFile, identity, done));
}

const floorOf = ({ group, index, membership, term }: GroupStart): Floor => ({
  group: groupId(group),
  index,
  term,
  membership,
  membershipIndex: index,
  keepFrom: logIndex(index + 1),
});

async function writeLog(ports: OfflinePorts, groups: readonly GroupStart[], fatal: (error: IoError) => void): Promise<void> {
  const { wal } = await given<WalOpened>((done) => openWal(ports, { directory: logDirectory }, fatal, done));
  await new Promise<void>((durable) => {
    let open = groups.length;
    for (const start of groups) {
      const group = groupId(start.group);
      // The term is known without a vote: nobody of the new cluster has asked for one in it.
      wal.write(
        { group, hardState: { term: start.term, vote: null }, truncateFrom: logIndex(0), append: [], commit: start.index },
        () => undefined,
      );
      wal.installed(floorOf(start), false, () => {
        open -= 1;
        if (open === 0) durable();
      });
    }
  });
  await new Promise<void>((closed) => wal.close(closed));
}

async function writeSnapshot(ports: OfflinePorts, start: GroupStart, system: SystemState, fatal: (error: IoError) => void): Promise<void> {
  const group = groupId(start.group);
  const store = await given<SnapshotStoreApi>((done) => openSnapshotStore(ports, { directory: `snapshots/${group}`, group }, fatal, done));
  const { index, membership, term } = start;
  const writer = store.create({ id: `restored-${index}`, index, term, membership, membershipIndex: index });
  const cursor = system.beginSnapshot();
  for (let chunk = cursor.next(chunkBytes); chunk !== null; chunk = cursor.next(chunkBytes)) {
    const bytes = chunk.slice();
    if (bytes.length > 0) await new Promise<void>((written) => writer.write(bytes, written));
  }
  await new Promise<unknown>((finished) => writer.finish(finished));
}

const chunkBytes = 64 * 1024;
