import type { Outcome, Submission } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { acquire, type Cluster, ready } from "./cluster.ts";

function openSession(cluster: Cluster, node: string, ttlMs: number): number {
  const opened = cluster.submit(node, { type: "open-session", ttlMs, lockDelayMs: 0, principal: "test", label: "" });
  if (opened.type !== "answered" || opened.result.type !== "session-opened") throw new Error(JSON.stringify(opened));
  return opened.result.session;
}

function later(cluster: Cluster, node: string, owner: string, waitMs: number): { outcome: Outcome | null; submission: Submission } {
  const pending: { outcome: Outcome | null; submission: Submission } = { outcome: null, submission: null as never };
  pending.submission = cluster.member(node).host.api.submit(acquire("a", owner, { waitMs }), { timeoutMs: waitMs + 5_000 }, (outcome) => {
    pending.outcome = outcome;
  });
  return pending;
}

describe("sessions", () => {
  test("a session that is kept alive through a follower outlives its ttl; one that is not expires and gives its locks back", () => {
    const cluster = ready();
    const follower = [...cluster.members.values()].find(({ host }) => host.system?.isLeader === false)?.host.config.node ?? "";
    const session = openSession(cluster, follower, 1_000);
    expect(cluster.submit(follower, acquire("a", "o", { actor: { session, principal: "test", owner: "o" } }))).toMatchObject({
      result: { type: "granted" },
    });
    for (let round = 0; round < 10; round += 1) {
      let alive: readonly number[] | null = null;
      cluster.member(follower).host.api.keepAlive([session], 1_000, (outcome) => {
        alive = outcome.type === "alive" ? outcome.sessions : null;
      });
      cluster.run(400);
      expect(alive).toEqual([session]);
    }
    expect(cluster.leader()?.host.machine?.lock("a").status).toBe("held");
    cluster.run(500);
    expect(cluster.leader()?.host.machine?.lock("a").status).toBe("held");
    cluster.until("the session expires", () => cluster.leader()?.host.machine?.session(session) === null, 2_000);
    expect(cluster.leader()?.host.machine?.lock("a").status).toBe("available");
  });

  test("a new leader restarts every lease in full", () => {
    const cluster = ready();
    const session = openSession(cluster, "n1", 2_000);
    cluster.run(1_500);
    const old = cluster.leader()?.host.config.node ?? "";
    cluster.kill(old);
    cluster.until("a new leader", () => cluster.leader() !== null && cluster.leader()?.host.leases?.running === true);
    const since = cluster.clock.now();
    cluster.until("the session expires", () => cluster.leader()?.host.machine?.session(session) === null, 5_000);
    expect(cluster.clock.now() - since).toBeGreaterThan(1_900);
  });
});

describe("waits", () => {
  test("a waiter on a follower is granted when the holder releases through another node", () => {
    const cluster = ready();
    const held = cluster.submit("n1", acquire("a", "alice"));
    const waiting = later(cluster, "n2", "bob", 10_000);
    cluster.run(100);
    expect(waiting.outcome).toBeNull();
    const fence = held.type === "answered" && held.result.type === "granted" ? held.result.fence : 0;
    cluster.submit("n3", { type: "release", actor: { session: 0, principal: "test", owner: "alice" }, name: "a", fence, anonymous: false });
    cluster.until("bob has it", () => waiting.outcome !== null, 200);
    expect(waiting.outcome).toMatchObject({ result: { type: "granted", owner: "bob" } });
  });

  test("a wait ends as busy when its time is up, and an abandoned one never holds the lock", () => {
    const cluster = ready();
    const held = cluster.submit("n1", acquire("a", "alice"));
    const short = later(cluster, "n2", "bob", 500);
    const gone = later(cluster, "n3", "carol", 60_000);
    cluster.run(200);
    gone.submission.abandon();
    cluster.until("bob was told", () => short.outcome !== null, 2_000);
    expect(short.outcome).toMatchObject({ result: { type: "busy", waited: true } });
    const fence = held.type === "answered" && held.result.type === "granted" ? held.result.fence : 0;
    cluster.submit("n1", { type: "release", actor: { session: 0, principal: "test", owner: "alice" }, name: "a", fence, anonymous: false });
    cluster.run(100);
    expect(cluster.leader()?.host.machine?.lock("a").status).toBe("available");
  });

  test("a waiter keeps its place when the leader dies", () => {
    const cluster = ready();
    const old = cluster.leader()?.host.config.node ?? "";
    const [first, second] = [...cluster.members.keys()].filter((node) => node !== old);
    const held = cluster.submit(first ?? "", acquire("a", "alice"));
    const waiting = later(cluster, second ?? "", "bob", 30_000);
    cluster.run(100);
    cluster.kill(old);
    cluster.until("a new leader", () => cluster.leader() !== null);
    const fence = held.type === "answered" && held.result.type === "granted" ? held.result.fence : 0;
    cluster.submit(first ?? "", {
      type: "release",
      actor: { session: 0, principal: "test", owner: "alice" },
      name: "a",
      fence,
      anonymous: false,
    });
    cluster.until("bob has it", () => waiting.outcome !== null, 2_000);
    expect(waiting.outcome).toMatchObject({ result: { type: "granted", owner: "bob" } });
  });
});
