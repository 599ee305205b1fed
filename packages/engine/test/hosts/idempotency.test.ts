import { describe, expect, test } from "vitest";
import type { Outcome, Submission, SubmitOptions } from "@trivet/engine";
import { acquire, type Cluster, ready, Told } from "./cluster.ts";
import { lateAnswerMs } from "../../src/base/limits.ts";
import { guard } from "./guard.ts";

function settled(): Cluster {
  const cluster = ready();
  cluster.run(300);
  return cluster;
}

function keyed(fingerprint: string, timeoutMs: number): SubmitOptions {
  return { timeoutMs, idempotency: { key: "k", fingerprint } };
}

function resultType(outcome: Outcome | null): string | null {
  return outcome?.type === "answered" ? outcome.result.type : null;
}

describe("one idempotency key, two bodies (X2)", () => {
  test("the second body at another node never gets the first one's answer", () => {
    const cluster = settled();
    const one = cluster.begin("n1", acquire("a", "alice"), keyed("one", 2_000));
    const two = cluster.begin("n2", acquire("b", "bob"), keyed("two", 2_000));
    cluster.run(3_000);
    // Either may be the first in the log.
    expect(["granted,refused", "refused,granted"]).toContain([resultType(one.value), resultType(two.value)].join());
  });

  test("a waiting call is not ended by the refusal of another body under its key", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    const waiting = cluster.begin("n1", acquire("a", "alice", { waitMs: 10_000 }), keyed("one", 15_000));
    cluster.run(200);
    cluster.begin("n2", acquire("b", "bob"), keyed("two", 2_000));
    cluster.run(500);
    expect(cluster.leader()?.host.machine?.lock("a").waiters.length).toBe(1);
    expect(waiting.value).toBeNull();
  });

  guard(
    "host-keyed-answered-from-state",
    "the second body at a node that gets the first one's answer with a snapshot is refused, not told that answer",
    () => {
      const cluster = ready({ snapshotEveryEntries: 20, retainBytes: 100, noLeaderWaitMs: 60_000 });
      cluster.run(300);
      const [behind, other] = cluster.roles().followers;
      const two = new Told<Outcome>();
      cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: [from, to].includes(behind.url) ? [] : [0.2] }) };
      cluster.network.breakLinks((a, b) => [a, b].includes(behind.url), "reset");
      cluster.until("it has no leader", () => behind.host.system?.leader() === null);
      behind.host.api.submit(acquire("b", "bob"), keyed("two", 50_000), two.hear);
      const one = cluster.begin(other.config.node, acquire("a", "alice"), keyed("one", 5_000));
      cluster.until("the first is granted", () => resultType(one.value) === "granted");
      for (let index = 0; index < 100; index += 1) cluster.submit(other.config.node, acquire(`lock-${index}`, "alice"));
      cluster.until("the log is trimmed", () => (cluster.leader()?.host.system?.raft.firstIndex ?? 0) > 50);
      cluster.network.options = { fate: () => ({ delaysMs: [0.2] }) };
      cluster.network.breakLinks((a, b) => [a, b].includes(behind.url), "reset");
      cluster.until("it is answered", () => two.value !== null, 30_000);
      expect(behind.host.system?.snapshots.installedCount).toBe(1);
      expect(two.value).toMatchObject({ type: "answered", result: { type: "refused", reason: "other-body" } });
      expect(cluster.lockStatus("b")).toBe("available");
    },
  );
});

describe("one idempotency key, one body, several copies", () => {
  test("a call repeated at the same node is not told `nothing happened` while its first copy is on its way", () => {
    const cluster = settled();
    const { leader, followers } = cluster.roles();
    const [entry, third] = followers;
    // The leader gets the frame and replicates it; nothing the leader sends arrives.
    const first = cluster.begin(entry.config.node, acquire("a", "alice"), keyed("one", 8_000));
    cluster.network.options = { fate: ({ from }) => ({ delaysMs: from === leader.url ? [] : [0.2] }) };
    cluster.run(50);
    // The link to the leader is reset (its frame arrived); the caller repeats its call.
    cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: from === leader.url || to === leader.url ? [] : [0.2] }) };
    const pair = [leader.url, entry.url];
    cluster.network.breakLinks((a, b) => pair.includes(a) && pair.includes(b), "reset");
    cluster.kill(third.config.node);
    cluster.run(100);
    cluster.begin(entry.config.node, acquire("a", "alice"), keyed("one", 8_000));
    cluster.run(2_600);
    const told = first.value;
    // The leader and the third node find each other again; the leader's log has the frame.
    cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: from === entry.url || to === entry.url ? [] : [0.2] }) };
    cluster.network.breakLinks(() => true, "reset");
    cluster.restart(third.config.node);
    cluster.run(5_000);
    // The first copy was executed, so nobody may have been told that it was not.
    expect(cluster.lockStatus("a")).toBe("held");
    expect(told?.type).not.toBe("unavailable");
  });

  test("a retry is not answered `too late` by the refusal of its first copy and then executed", () => {
    const cluster = settled();
    const [late, prompt] = cluster.roles().followers;
    cluster.network.options = { fate: ({ from }) => ({ delaysMs: from === late.url ? [] : [0.2] }) };
    cluster.begin(late.config.node, acquire("a", "alice"), keyed("one", 200));
    cluster.run(2_000);
    // The first copy is freed from its node's socket and reaches the leader just before the retry does through the other node.
    cluster.network.options = { fate: ({ from }) => ({ delaysMs: from === prompt.url ? [5] : [0.2] }) };
    cluster.network.retransmit();
    const retry = cluster.begin(prompt.config.node, acquire("a", "alice"), keyed("one", 5_000));
    cluster.run(3_000);
    expect(resultType(retry.value) === "granted").toBe(cluster.lockStatus("a") === "held");
  });
});

/** One client's call with the key: what it was told, and how it goes away. */
function client(
  cluster: Cluster,
  node: string,
  owner: string,
  timeoutMs: number,
): { readonly told: Told<Outcome>; readonly call: Submission } {
  const told = new Told<Outcome>();
  const call = cluster.member(node).host.api.submit(acquire("a", owner, { waitMs: 60_000 }), keyed("one", timeoutMs), told.hear);
  return { told, call };
}

function waiters(cluster: Cluster): number {
  return cluster.leader()?.host.machine?.lock("a").waiters.length ?? -1;
}

function release(cluster: Cluster): void {
  const actor = { session: 0, principal: "test", owner: "holder" };
  cluster.submit("n1", { type: "release", actor, name: "a", fence: 0, anonymous: false });
}

describe("a wait with an idempotency key ends with its clients (K4)", () => {
  guard("host-keyed-wait-kept", "a client that goes away leaves the line, and its retry is told so at every node", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    const { call } = client(cluster, "n2", "alice", 70_000);
    cluster.until("alice waits", () => waiters(cluster) === 1);
    call.abandon();
    cluster.run(200);
    expect(waiters(cluster)).toBe(0);
    release(cluster);
    expect(cluster.lockStatus("a")).toBe("available");
    for (const node of ["n2", "n3"]) {
      const { told } = client(cluster, node, "alice", 70_000);
      cluster.run(200);
      expect(resultType(told.value)).toBe("cancelled");
    }
    expect(cluster.lockStatus("a")).toBe("available");
    expect(cluster.member("n2").host.outbox.openFrames).toBe(0);
  });

  guard(
    "host-keyed-wait-past-not-after",
    "a wait is told its grant though the next leader's calendar is ahead of its not-after (L3)",
    () => {
      const cluster = settled();
      cluster.submit("n1", acquire("a", "holder"));
      const { leader, followers } = cluster.roles();
      const [entry, heir] = followers;
      heir.view.jumpWallClock(300_000);
      const { told } = client(cluster, entry.config.node, "alice", 70_000);
      cluster.until("alice waits", () => waiters(cluster) === 1);
      leader.host.api.transferLeadership(heir.config.node, 5_000, () => undefined);
      cluster.until("the other leads", () => heir.host.system?.isLeader === true);
      // Longer than the refusal of a late frame is waited for.
      cluster.run(2 * lateAnswerMs);
      expect(entry.host.groupTime.now()).toBeGreaterThan(entry.view.wallNow() + 200_000);
      release(cluster);
      cluster.run(500);
      expect(cluster.lockStatus("a")).toBe("held");
      expect(resultType(told.value)).toBe("granted");
    },
  );

  guard("host-keyed-wait-kept", "a wait whose deadline has passed is not granted to nobody", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    const { told } = client(cluster, "n2", "alice", 1_000);
    cluster.run(1_500);
    expect(told.value).toMatchObject({ type: "unknown" });
    expect(waiters(cluster)).toBe(0);
    release(cluster);
    expect(cluster.lockStatus("a")).toBe("available");
  });

  test("while one client of the call still waits, the place in the line is kept", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    const first = client(cluster, "n2", "alice", 70_000);
    cluster.run(100);
    const second = client(cluster, "n2", "alice", 70_000);
    cluster.run(100);
    first.call.abandon();
    cluster.run(500);
    expect(waiters(cluster)).toBe(1);
    release(cluster);
    cluster.run(200);
    expect(resultType(second.told.value)).toBe("granted");
  });

  test("a client of another body under the key cannot end the wait by going away", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    client(cluster, "n1", "alice", 70_000);
    cluster.until("alice waits", () => waiters(cluster) === 1);
    const { api } = cluster.member("n2").host;
    api.submit(acquire("a", "bob", { waitMs: 60_000 }), keyed("two", 70_000), () => undefined).abandon();
    cluster.run(1_000);
    expect(waiters(cluster)).toBe(1);
  });

  test("a grant that was before the cancel is what a retry is told, and it stays", () => {
    const cluster = settled();
    const { leader, followers } = cluster.roles();
    const [entry] = followers;
    cluster.submit(leader.config.node, acquire("a", "holder"));
    const { call } = client(cluster, entry.config.node, "alice", 70_000);
    cluster.until("alice waits", () => waiters(cluster) === 1);
    // The grant is decided; the node of the client has not heard of it when the client goes away.
    cluster.network.options = { fate: ({ to }) => ({ delaysMs: to === entry.url ? [100] : [0.2] }) };
    release(cluster);
    call.abandon();
    cluster.run(1_000);
    const { told } = client(cluster, entry.config.node, "alice", 70_000);
    cluster.run(500);
    expect(resultType(told.value)).toBe("granted");
    expect(
      cluster
        .leader()
        ?.host.machine?.lock("a")
        .holders.map(({ owner }) => owner),
    ).toEqual(["alice"]);
  });

  test("a client that goes away before any leader was reached leaves nothing behind", () => {
    const cluster = settled();
    cluster.submit("n1", acquire("a", "holder"));
    const { leader, followers } = cluster.roles();
    const [entry] = followers;
    cluster.kill(leader.config.node);
    const { call, told } = client(cluster, entry.config.node, "alice", 70_000);
    call.abandon();
    cluster.until("the next leader", () => cluster.leader() !== null && cluster.leader() !== leader);
    cluster.run(3_000);
    expect(waiters(cluster)).toBe(0);
    expect(told.value).not.toBeNull();
  });
});
