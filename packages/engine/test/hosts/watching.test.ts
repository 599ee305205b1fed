import { Prng } from "@trivet/core";
import { MemoryClock, MemoryTelemetry, type Telemetry } from "@trivet/engine";
import { describe, expect, test, vi } from "vitest";
import { GroupTime } from "../../src/groups/group-time.ts";
import { acquire, Cluster, ready, Told } from "./cluster.ts";

/** Labels with which a counter was counted from here on. */
function labelsOf(telemetry: Telemetry, name: string): () => readonly unknown[] {
  const counted = vi.spyOn(telemetry, "count");
  return () => counted.mock.calls.filter(([counter]) => counter === name).map(([, , labels]) => labels);
}

const snapshotOf = (cluster: Cluster, node: string) => cluster.member(node).host.api.status().groups[0]?.snapshot ?? null;
const offsets = (cluster: Cluster): readonly (number | null)[] =>
  [...cluster.members.values()].map(({ host }) => host.api.status().clockOffsetMs);

describe("leader changes and failed elections", () => {
  test("are counted by their group: the alert looks at group 0 alone", () => {
    const cluster = ready();
    cluster.run(300);
    const { leader, followers } = cluster.roles();
    const won = followers.map(({ telemetry }) => labelsOf(telemetry, "trivet_raft_leader_changes_total"));
    cluster.kill(leader.config.node);
    cluster.until("another leader", () => (cluster.leader() ?? leader) !== leader);
    expect(won.flatMap((labels) => labels())).toEqual([{ group: "0" }]);
    const [last] = followers;
    const failed = labelsOf(last.telemetry, "trivet_raft_elections_failed_total");
    cluster.kill(followers[1].config.node);
    cluster.until("an election that fails", () => failed().length > 0);
    expect(failed()[0]).toEqual({ group: "0" });
  });
});

describe("snapshots", () => {
  test("are told with index, size and age, and counted by how a node came by them; the age is not known after a restart", () => {
    const cluster = ready();
    cluster.run(300);
    const { leader, followers } = cluster.roles();
    const node = followers[0].config.node;
    expect(snapshotOf(cluster, node)).toBeNull();
    cluster.submit(leader.config.node, acquire("a", "alice"));
    cluster.run(100);
    const counted = labelsOf(followers[0].telemetry, "trivet_snapshots_total");
    const told = new Told<{ readonly type: string }>();
    followers[0].host.api.snapshot(told.hear);
    cluster.until("a snapshot", () => told.value !== null);
    expect(counted()).toEqual([{ kind: "taken" }]);
    cluster.run(7_000);
    const taken = snapshotOf(cluster, node);
    expect(taken?.index).toBeGreaterThan(0);
    expect(taken?.bytes).toBeGreaterThan(100);
    expect(taken?.ageMs).toBeGreaterThanOrEqual(6_900);
    expect(taken?.ageMs).toBeLessThan(7_200);
    cluster.kill(node);
    cluster.restart(node);
    cluster.untilReady();
    expect(snapshotOf(cluster, node)).toEqual({ index: taken?.index, bytes: taken?.bytes, ageMs: null });
  });

  test("that a leader sent are counted as such", () => {
    const cluster = Cluster.of(3, { snapshotEveryEntries: 20, retainBytes: 0 });
    cluster.untilReady();
    cluster.run(300);
    const { leader, followers } = cluster.roles();
    const { node } = followers[0].config;
    cluster.kill(node);
    for (let index = 0; index < 100; index += 1) cluster.submit(leader.config.node, acquire(`a${index}`, "alice"));
    cluster.run(500);
    cluster.restart(node);
    const counted = labelsOf(followers[0].telemetry, "trivet_snapshots_total");
    cluster.until("the leader's snapshot", () => counted().length > 0);
    expect(counted()[0]).toEqual({ kind: "installed" });
    expect(snapshotOf(cluster, node)?.ageMs).toBeLessThan(100);
  });
});

describe("how far a node's wall clock is off", () => {
  test("is nothing where clocks agree, but for the way of a heartbeat", () => {
    const cluster = ready();
    cluster.run(1_000);
    for (const offset of offsets(cluster)) expect(Math.abs(offset ?? Number.NaN)).toBeLessThanOrEqual(2);
  });

  test("is told by a follower against its leader, and by a leader whose clock was set against what it led with", () => {
    const cluster = ready();
    cluster.run(300);
    const { leader, followers } = cluster.roles();
    followers[0].view.jumpWallClock(-3_000);
    leader.view.jumpWallClock(60_000);
    cluster.run(300);
    const offsetOf = (node: string) => cluster.member(node).host.api.status().clockOffsetMs ?? Number.NaN;
    expect(offsetOf(followers[0].config.node) / 1_000).toBeCloseTo(-3, 2);
    expect(offsetOf(leader.config.node) / 1_000).toBeCloseTo(60, 2);
    expect(offsetOf(followers[1].config.node) / 1_000).toBeCloseTo(0, 2);
  });

  test("is not known before a leader was heard", () => {
    expect(new GroupTime(new MemoryClock(), new MemoryTelemetry()).wallOffset()).toBeNull();
  });

  test("is told against the leader, not against an estimate that has run ahead of it", () => {
    const clock = new MemoryClock();
    const time = new GroupTime(clock, new MemoryTelemetry());
    const prng = new Prng(7);
    const leads = (): number => clock.wallNow() - 500;
    time.heard(leads() + 400);
    for (let beat = 0; beat < 50; beat += 1) {
      clock.advance(50 + prng.next());
      time.heard(leads());
    }
    expect(time.wallOffset()).toBeCloseTo(500, 0);
  });
});
