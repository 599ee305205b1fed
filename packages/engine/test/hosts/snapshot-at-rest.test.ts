import { describe, expect, test } from "vitest";
import { restingBytes, snapshotRestMs } from "../../src/hosts/limits.ts";
import { acquire, Cluster, type Member, ready } from "./cluster.ts";

const atRestBytes = 4096;
const nameBytes = 200;

const taken = ({ host }: Member): number => host.system?.snapshots.takenCount ?? 0;
const all = (cluster: Cluster): readonly Member[] => [...cluster.members.values()];

/** Grants `count` locks with long names, all under way at once. */
function fill(cluster: Cluster, round: number, count: number): void {
  const told = Array.from({ length: count }, (_, lock) =>
    cluster.begin("n1", acquire(`${round}/${lock}/`.padEnd(nameBytes, "x"), "alice"), { timeoutMs: 5_000 }),
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
});
