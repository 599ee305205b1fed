import { logIndex, nodeId, type SnapshotMeta, term } from "@trivet/core";
import { beforeEach, describe, expect, test } from "vitest";
import type { GroupHost } from "../../src/groups/group-host.ts";
import { GroupSnapshots } from "../../src/groups/group-snapshots.ts";
import type { SnapshotStoreApi, WalApi } from "../../src/log/types.ts";
import { FlushedFloor } from "../../src/shards/flushed-floor.ts";

const membership = { voters: [nodeId("n1"), nodeId("n2")], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const meta = (id: string, index: number): SnapshotMeta => ({
  id,
  index: logIndex(index),
  term: term(1),
  membership,
  membershipIndex: logIndex(1),
  bytes: 10,
});

/** A leader at its first entry; what it has and sends is set by each test. */
class Leader {
  now = 100_000;
  /** Last entry in the hands of the machine. */
  handed = 0;
  kept: SnapshotMeta[] = [];
  peers: { readonly peer: string; readonly id: string | null; readonly contactAt: number }[] = [];
  readonly keepFrom: number[] = [];
  readonly floor: FlushedFloor;
  readonly snapshots: GroupSnapshots;
  private finish: (() => void) | null = null;

  constructor() {
    const progress = () =>
      this.peers.map(({ contactAt, id, peer }) => ({
        peer: nodeId(peer),
        state: "snapshot",
        contactAt,
        snapshot: { id, offset: 0, bytes: 10 },
      }));
    const at = () => ({ membership, index: logIndex(1) });
    const raft = { progress, termAt: () => term(1), stretchTo: (index: number) => index + 1, membershipAt: at, firstIndex: logIndex(1) };
    const machine = {
      beginSnapshot: () => ({ next: (_bytes: number, done: (chunk: null) => void) => done(null), abort: () => undefined }),
    };
    const group = Object.defineProperties(
      {
        id: 1,
        raft,
        machine,
        stepping: true,
        stateDoubted: false,
        appliedMembership: membership,
        appliedMembershipIndex: logIndex(1),
        logShortened: () => undefined,
      },
      {
        handedIndex: { get: () => logIndex(this.handed) },
        appliedIndex: { get: () => logIndex(this.handed) },
        snapshots: { get: () => this.snapshots },
      },
    ) as unknown as GroupHost;
    const store = {
      latest: () => this.kept[0] ?? null,
      kept: () => this.kept,
      create: (made: Omit<SnapshotMeta, "bytes">) => ({
        finish: (done: (finished: SnapshotMeta) => void) => {
          this.finish = () => {
            const finished = { ...made, bytes: 10 };
            this.kept = [finished, ...this.kept];
            done(finished);
          };
        },
        abort: () => undefined,
      }),
    } as unknown as SnapshotStoreApi;
    const clock = { now: () => this.now, defer: (run: () => void) => run() };
    const telemetry = { isVerbose: false, log: () => undefined, count: () => undefined, observe: () => undefined };
    const wal = { setFloor: ({ keepFrom }: { readonly keepFrom: number }) => void this.keepFrom.push(keepFrom) } as unknown as WalApi;
    const config = { raft: { self: "n1" }, snapshotEveryEntries: 1e9, snapshotEveryBytes: 1e9, snapshotsMoveFloor: false, retainBytes: 0 };
    const ports = { clock, telemetry, wal, snapshots: store } as never;
    this.snapshots = new GroupSnapshots(group, config as never, {} as never, ports, { markDirty: () => undefined } as never);
    this.floor = new FlushedFloor(group, wal, 0);
  }

  /** Begins a snapshot of what there is at `index`; it is finished by `taken`. */
  take(index: number): void {
    this.handed = index;
    this.snapshots.request(() => undefined);
    this.snapshots.maybeTake();
  }

  taken(): void {
    if (this.finish === null) throw new Error("none is being taken");
    this.finish();
  }

  flushed(index: number): number {
    this.handed = index;
    this.floor.flushed(logIndex(index));
    return this.keepFrom.at(-1) ?? 0;
  }
}

describe("the log of a shard is kept for a replica that is brought up by a snapshot", () => {
  let leader: Leader;
  beforeEach(() => {
    leader = new Leader();
  });
  const peer = (name: string, id: string | null, silentMs = 0) => ({ peer: name, id, contactAt: leader.now - silentMs });

  test("from where the snapshot ends that is still being written for it", () => {
    leader.peers = [peer("n2", null)];
    leader.take(100);
    expect(leader.flushed(1_000)).toBe(101);
    leader.taken();
    expect(leader.flushed(2_000)).toBe(101);
  });

  test("from where the one ends that it is being sent, also when there is a newer one", () => {
    leader.kept = [meta("b", 500), meta("a", 100)];
    leader.peers = [peer("n2", "a"), peer("n3", "b")];
    expect(leader.flushed(1_000)).toBe(101);
    leader.peers = [peer("n3", "b")];
    expect(leader.flushed(1_001)).toBe(501);
  });

  test("and not for one that nobody is being sent, or that is sent to a peer which has fallen silent", () => {
    leader.kept = [meta("a", 100)];
    expect(leader.flushed(1_000)).toBe(1_001);
    leader.peers = [peer("n2", "a", 60_000)];
    expect(leader.flushed(2_000)).toBe(2_001);
  });

  test("and what changes nothing is not written into it", () => {
    expect(leader.flushed(1_000)).toBe(1_001);
    for (let round = 0; round < 3; round += 1) leader.floor.letGo(logIndex(1_000));
    expect(leader.keepFrom).toEqual([1_001]);
  });
});
