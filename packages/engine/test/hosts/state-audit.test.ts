import { describe, expect, test } from "vitest";
import type { SystemState } from "@trivet/core";
import { acquire, type Cluster, type Member, ready, Told } from "./cluster.ts";

const sink = { answer: () => undefined, changed: () => undefined };
const mismatches = "trivet_raft_state_hash_mismatch_total";

/** A command that no other replica has: from here on this one's state is another. */
function corrupt(member: Member): void {
  const machine: SystemState | null = member.host.machine;
  machine?.applyCommand({ type: "open-session", ttlMs: 60_000, lockDelayMs: 0, principal: "ghost", label: "" }, "", 0, sink);
}

function hash(member: Member): string | undefined {
  return member.host.machine?.stateHash();
}

function alarms(member: Member): readonly string[] {
  return member.telemetry.lines.filter(({ event }) => event === "state.differs").map(({ text }) => text);
}

function problem(member: Member): string | null {
  return member.host.system?.audit?.problem ?? null;
}

function untilHealed(cluster: Cluster, member: Member): void {
  cluster.until("the state is replaced and compared", () => problem(member) === null && alarms(member).length > 0);
}

describe("W7: replicas compare their states", () => {
  test("equal states raise no alarm, under load and at rest", () => {
    const cluster = ready();
    for (let i = 0; i < 600; i += 1) {
      cluster.begin("n1", acquire(`lock-${i}`, "o"), { timeoutMs: 5_000 });
      cluster.run(5);
    }
    cluster.run(3_000);
    for (const member of cluster.members.values()) {
      expect(member.host.system?.machine.points.all().size).toBeGreaterThan(1);
      expect(alarms(member)).toEqual([]);
    }
  });

  test("a follower that differs is told, mends itself from the leader and may lead again", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "o"));
    const { leader, followers } = cluster.roles();
    const [bad, other] = followers;
    corrupt(bad);
    cluster.until("it is noticed", () => alarms(bad).length > 0);
    expect(bad.host.api.status()).toMatchObject({ phase: "recovering", phaseDetail: expect.stringContaining("differs from that of") });
    untilHealed(cluster, bad);
    expect(hash(bad)).toBe(hash(leader));
    expect(bad.host.api.status()).toMatchObject({ phase: "running", phaseDetail: "" });
    expect(bad.telemetry.counters.get(mismatches)).toBe(1);
    // Told by whoever heard of its state before it was mended: all look at about the same time.
    expect([...alarms(leader), ...alarms(other)][0]).toContain(`the state of ${bad.config.node} differs`);
    const told = new Told<unknown>();
    leader.host.api.transferLeadership(bad.config.node, 3_000, told.hear);
    cluster.until("it leads", () => cluster.leader() === bad);
    expect(cluster.submit(bad.config.node, acquire("b", "o")).type).toBe("answered");
  });

  test("a leader that differs hands over, and calls through it are answered once its state is right", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "o"));
    const { leader: bad } = cluster.roles();
    corrupt(bad);
    cluster.until("it is noticed", () => problem(bad) !== null);
    const told = cluster.begin(bad.config.node, acquire("a", "somebody else"), { timeoutMs: 15_000 });
    cluster.until("another one leads", () => (cluster.leader() ?? bad) !== bad);
    untilHealed(cluster, bad);
    cluster.until("the call is answered", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "answered", result: { type: "busy" } });
  });

  test("a state of many chunks arrives while the log goes on", () => {
    const cluster = ready();
    for (let i = 0; i < 40; i += 1) cluster.submit("n1", acquire(`${"x".repeat(400)}${i}`, "o"));
    const [bad] = cluster.roles().followers;
    corrupt(bad);
    let i = 0;
    cluster.until("it is mended", () => {
      i += 1;
      cluster.begin("n1", acquire(`during-${i}`, "o"), { timeoutMs: 5_000 });
      return problem(bad) === null && alarms(bad).length > 0;
    });
    cluster.run(2_000);
    expect(new Set([...cluster.members.values()].map(hash)).size).toBe(1);
  });

  test("two that differ without a third: both say so once, both go on, and the third decides", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "o"));
    const { leader, followers } = cluster.roles();
    const [bad, away] = followers;
    cluster.kill(away.config.node);
    corrupt(bad);
    cluster.run(5_000);
    for (const member of [leader, bad]) {
      expect(alarms(member).length).toBe(1);
      expect(alarms(member)[0]).toContain("no majority agrees");
      expect(problem(member)).toBeNull();
    }
    expect(cluster.leader()).toBe(leader);
    cluster.restart(away.config.node);
    cluster.until("the one that is wrong knows", () => problem(bad) !== null);
    expect(problem(leader)).toBeNull();
    untilHealed(cluster, bad);
    expect(hash(bad)).toBe(hash(leader));
  });

  test("a state in doubt is not told, not even to a stale read", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "o"));
    const [bad] = cluster.roles().followers;
    corrupt(bad);
    // In small steps: the replacement is over within milliseconds.
    for (let step = 0; step < 20_000 && bad.host.system?.stateDoubted !== true; step += 1) cluster.run(0.1);
    expect(bad.host.system?.stateDoubted).toBe(true);
    const told = new Told<{ readonly type: string }>();
    bad.host.api.read("stale", 1_000, told.hear);
    cluster.until("an answer", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "unavailable", detail: expect.stringContaining("differs") });
  });
});
