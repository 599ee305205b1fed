import { groupId, InvariantError, type PlacementView, type RaftGroup, type RaftMessage } from "@trivet/core";
import {
  type CacheApi,
  defaultHostConfig,
  IoError,
  type NodeApi,
  NodeHost,
  type NodeHostConfig,
  type Ports,
  type ProgramsApi,
  type QueueStorage,
} from "@trivet/engine";

/** What differs between the nodes of one world. */
export interface ProgramSettings {
  readonly node: string;
  /** Machines to found the cluster with; a joining machine has none. */
  readonly peers: readonly string[];
  /** Members to join through. */
  readonly join: readonly string[];
  /** 0 = none, and no apply worker. */
  readonly shards: number;
  readonly tuning: Tuning;
  /** 0 = as in production. */
  readonly deadNodesMoveMs: number;
  /** 0 = as in production. */
  readonly snapshotAtRestBytes: number;
  /** Undefined = what this version knows. */
  readonly featureLevel?: number;
}

/** Small limits, varied per seed, so that snapshots, segments and windows turn over often. */
export interface Tuning {
  readonly heartbeatMs: number;
  readonly electionMinMs: number;
  readonly electionMaxMs: number;
  readonly diskStallMs: number;
  readonly snapshotEveryEntries: number;
  readonly snapshotEveryBytes: number;
  readonly retainBytes: number;
  readonly walSegmentBytes: number;
  /** What an apply worker may keep of a store in memory: each program takes one. 0 = nothing. */
  readonly bufferedBytes: readonly number[];
  readonly macKey: boolean;
}

/** One group as the invariants see it. Read-only, valid until the node's next step. */
export interface GroupInspection {
  readonly raft: RaftGroup;
  readonly appliedIndex: number;
  readonly machine: NonNullable<NodeHost["machine"]>;
}

/** The same of any group, shards too. */
export interface AnyGroupInspection {
  readonly raft: RaftGroup;
  readonly appliedIndex: number;
  readonly machine: {
    /** Asks for it where it is not known. */
    stateHash(): string | null;
    /** Of a shard: does not ask. */
    readonly knownHash?: string | null;
  };
}

/** A running node. */
export interface Program {
  readonly api: NodeApi;
  readonly storage: QueueStorage;
  readonly cache: CacheApi;
  /** What programs with copies of their own say and are told through this node. */
  readonly programs: ProgramsApi;
  /** This node's replica of a shard; null = it has none, or not yet. */
  shard(shard: number): AnyGroupInspection | null;
  /** What is wrong with this node's state of a shard (rule W7); null = nothing. */
  doubt(shard: number): string | null;
  /** As group 0's state here says. */
  placement(): PlacementView | null;
  /** Group 0, null until the node belongs to a cluster. */
  group(): GroupInspection | null;
}

/** Starts a node's program on its ports. Anything it throws that is not a storage error is `broken`. */
export type StartProgram = (ports: Ports, settings: ProgramSettings, owner: ProgramOwner) => Program;

/** Whom a program reports to. */
export interface ProgramOwner {
  ended(error: IoError | null): void;
  broken(error: unknown): void;
  sent(message: RaftMessage, group: number): void;
}

/** The node that ships, with an ear at its mouth. */
class ObservedNode extends NodeHost {
  /** Every Raft message of every group goes through the hub. */
  listen(onSend: (message: RaftMessage, group: number) => void): void {
    const { hub } = this;
    const send = hub.send.bind(hub);
    hub.send = (to, frame, urgent): boolean => {
      if (frame.type === "raft") onSend(frame.message, frame.group);
      return send(to, frame, urgent);
    };
  }
}

const sharedKey = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1);

/** The node that ships: the same class as in the server, on fake ports. */
export const startNode: StartProgram = (ports, settings, owner) => {
  const { tuning } = settings;
  const fail = (error: Error): void => {
    if (error instanceof IoError) owner.ended(error);
    else owner.broken(error);
  };
  const host = new ObservedNode(
    ports,
    {
      ...defaultHostConfig,
      node: settings.node,
      url: settings.node,
      peers: settings.peers,
      join: settings.join,
      ...(settings.shards === 0 ? {} : { shards: settings.shards }),
      ...(settings.featureLevel === undefined ? {} : { featureLevel: settings.featureLevel }),
      ...(settings.snapshotAtRestBytes === 0 ? {} : { snapshotAtRestBytes: settings.snapshotAtRestBytes }),
      ...(settings.deadNodesMoveMs === 0 ? {} : briefSilence(settings.deadNodesMoveMs)),
      autoReplace: true,
      macKeys: tuning.macKey ? [sharedKey] : [],
      heartbeatMs: tuning.heartbeatMs,
      electionMinMs: tuning.electionMinMs,
      electionMaxMs: tuning.electionMaxMs,
      diskStallMs: tuning.diskStallMs,
      snapshotEveryEntries: tuning.snapshotEveryEntries,
      snapshotEveryBytes: tuning.snapshotEveryBytes,
      retainBytes: tuning.retainBytes,
      walSegmentBytes: tuning.walSegmentBytes,
      // Some, and little of it, so that scripts that strike at every operation of a disk meet others than these.
      walRoomBytes: tuning.walSegmentBytes > 100_000 ? 4_096 : 0,
    },
    fail,
  );
  host.listen((message, group) => owner.sent(message, group));
  host.start((error) => {
    if (error !== null) fail(error);
  });
  return {
    api: host.api,
    storage: host.queueStorage,
    cache: host.cache,
    programs: host.caching.programs,
    group: () => inspect(host),
    shard: (shard) => host.shards?.replica(groupId(shard))?.group ?? null,
    doubt: (shard) => host.shards?.replica(groupId(shard))?.group.audit?.problem ?? null,
    placement: () => host.machine?.placement() ?? null,
  };
};

/** Times of the placement in proportion, so that nodes that are away for seconds lose their shards, and are back while that is under way. */
function briefSilence(deadNodeMovesAfterMs: number): Pick<NodeHostConfig, "absentReplicaMs" | "deadNodeMovesAfterMs" | "failureDetector"> {
  return { deadNodeMovesAfterMs, absentReplicaMs: deadNodeMovesAfterMs / 2, failureDetector: { intervalMs: 300, timeoutMs: 1_000 } };
}

function inspect({ system, machine }: NodeHost): GroupInspection | null {
  return system === null || machine === null ? null : { raft: system.raft, appliedIndex: system.appliedIndex, machine };
}

/** A broken invariant keeps its name; anything else a node throws is a bug too. */
export function nameOf(error: unknown): string {
  return error instanceof InvariantError ? error.invariant : "no-exception";
}
