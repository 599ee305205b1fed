import { describe, expect, test } from "vitest";
import { restingBytes, snapshotRestMs } from "../../src/base/limits.ts";
import type { GroupHostConfig } from "../../src/node/config.ts";
import type { GroupHost, GroupHostPorts } from "../../src/groups/group-host.ts";
import { SnapshotDue } from "../../src/groups/snapshot-due.ts";
import { acquire, Cluster, type Member, ready } from "./cluster.ts";
import { guard } from "./guard.ts";

const atRestBytes = 4096;
const nameBytes = 200;

const taken = ({ host }: Member): number => host.system?.snapshots.takenCount ?? 0;
const all = (cluster: Cluster): readonly Member[] => [...cluster.members.values()];

/** Grants `count` locks with long names, all under way at once. */
function fill(cluster: Cluster, round: number, count: number, node = "n1"): void {
  const told = Array.from({ length: count }, (_, lock) =>
    cluster.begin(node, acquire(`${round}/${lock}/`.padEnd(nameBytes, "x"), "alice"), { timeoutMs: 5_000 }),
  );
  cluster.until("they are answered", () => told.every(({ value }) => value !== null));
}

function isCaughtUp(cluster: Cluster): boolean {
  const applied = all(cluster).map(({ host }) => host.system?.appliedIndex ?? 0);
  return applied.every((index) => index > 0 && index === applied[0]);
}

describe("a log that rests", () => {
  test("becomes a snapshot on every node, once, and a node that starts again finds next to nothing to apply", () => {
    const cluster = ready({ snapshotAtRestBytes: atRestBytes });
    fill(cluster, 0, (2 * atRestBytes) / nameBytes);
    cluster.until("all have applied it", () => isCaughtUp(cluster));
    expect(all(cluster).map(taken)).toEqual([0, 0, 0]);
    cluster.run(snapshotRestMs + 500);
    expect(all(cluster).map(taken)).toEqual([1, 1, 1]);
    cluster.run(20 * snapshotRestMs);
    expect(all(cluster).map(taken)).toEqual([1, 1, 1]);
    const { followers } = cluster.roles();
    const { node } = followers[0].config;
    cluster.kill(node);
    cluster.restart(node);
    cluster.until("its log is open", () => cluster.member(node).host.system !== null);
    const { system } = cluster.member(node).host;
    expect(system?.raft.lastIndex).toBe(system?.snapshots.latestIndex);
    cluster.untilReady();
    expect(cluster.submit(node, acquire("0/0/".padEnd(nameBytes, "x"), "bob"))).toMatchObject({ result: { type: "busy" } });
  });

  test("becomes none while it is short", () => {
    const cluster = ready({ snapshotAtRestBytes: atRestBytes });
    fill(cluster, 0, 1);
    cluster.run(20 * snapshotRestMs);
    expect(all(cluster).map(taken)).toEqual([0, 0, 0]);
  });

  test("becomes none while much comes", () => {
    const cluster = ready({ snapshotAtRestBytes: atRestBytes });
    const inOneMoment = Math.ceil(restingBytes / nameBytes);
    for (let round = 0; round < 6; round++) {
      fill(cluster, round, inOneMoment);
      cluster.run(snapshotRestMs / 2);
      expect(all(cluster).map(taken)).toEqual([0, 0, 0]);
    }
    cluster.run(2 * snapshotRestMs);
    expect(all(cluster).map(taken)).toEqual([1, 1, 1]);
  });

  test("becomes one on a node that is alone, where no heartbeat brings a turn", () => {
    const cluster = Cluster.of(1, { snapshotAtRestBytes: atRestBytes });
    cluster.untilReady();
    fill(cluster, 0, (2 * atRestBytes) / nameBytes);
    cluster.run(snapshotRestMs + 500);
    expect(all(cluster).map(taken)).toEqual([1]);
  });

  guard("host-rest-snapshot-while-sent", "becomes none while a peer is being sent the one before, and one afterwards", () => {
    const cluster = ready({ snapshotAtRestBytes: atRestBytes, retainBytes: 0 });
    const { leader, followers } = cluster.roles();
    const late = followers[0].config.node;
    cluster.kill(late);
    for (let round = 0; round < 5; round++) fill(cluster, round, (4 * atRestBytes) / nameBytes, leader.config.node);
    cluster.run(2 * snapshotRestMs);
    expect(taken(leader)).toBe(1);
    const isSending = (): boolean => leader.host.system?.snapshots.sending() === true;
    const { options } = cluster.network;
    const { url } = cluster.member(late);
    const isChunk = (passage: { readonly from: string; readonly to: string; readonly bytes: number }): boolean =>
      passage.to === url && passage.bytes > 4 * atRestBytes;
    cluster.network.options = { ...options, fate: (passage) => ({ delaysMs: [isChunk(passage) ? 5 * snapshotRestMs : 0.2] }) };
    cluster.restart(late);
    cluster.until("it is being sent a snapshot", isSending);
    fill(cluster, 5, (3 * atRestBytes) / nameBytes, leader.config.node);
    cluster.run(3 * snapshotRestMs);
    expect([isSending(), taken(leader)]).toEqual([true, 1]);
    cluster.network.options = options;
    cluster.until("it has it", () => !isSending());
    cluster.run(2 * snapshotRestMs);
    expect([isSending(), taken(leader), leader.host.system?.isLeader]).toEqual([false, 2, true]);
  });

  guard("host-rest-snapshot-uncaught", "is one that is applied as far as is known", () => {
    let now = 0;
    const group = { caughtUp: false, leader: () => "n1" };
    const ports = { clock: { now: () => now }, snapshots: { latest: () => null } } as unknown as GroupHostPorts;
    const config = { snapshotAtRestBytes: atRestBytes } as GroupHostConfig;
    const due = new SnapshotDue(group as unknown as GroupHost, config, ports);
    due.grew(2 * atRestBytes);
    for (; now < 3 * snapshotRestMs; now += 100) expect(due.isDueAtRest()).toBe(false);
    group.caughtUp = true;
    expect(due.isDueAtRest()).toBe(true);
  });
});
