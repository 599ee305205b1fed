import { nodeId } from "@trivet/core";
import { newestLevel } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { acquire, Cluster, ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

function voters(cluster: Cluster): readonly string[] {
  return cluster.leader()?.host.system?.raft.membership.voters ?? [];
}

describe("membership", () => {
  test("a fourth node listed with the others joins as a learner and becomes a voter, without restarts", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "alice"));
    cluster.add("n4", "http://n4", { peers: ["http://n1", "http://n2", "http://n3", "http://n4"] });
    cluster.until("n4 votes", () => voters(cluster).includes("n4"));
    expect(cluster.member("n4").host.machine?.lock("a").status).toBe("held");
    expect(cluster.submit("n4", acquire("a", "bob"))).toMatchObject({ result: { type: "busy" } });
  });

  test("a node that asks to join before the founders are written down waits for that", () => {
    const cluster = Cluster.of(3);
    const isFresh = (): boolean => cluster.leader()?.host.members != null && cluster.leader()?.host.machine?.nodes().length === 0;
    cluster.until("a leader that has written nobody down", isFresh);
    const request = { node: "n9", storage: "ffff", url: "http://n9", roles: "lock,queue,cache", voter: true, level: newestLevel };
    expect(cluster.leader()?.host.members?.join(request)).toMatchObject({ ok: false, reason: "the node registry is being written" });
    const names = (): readonly string[] =>
      cluster
        .leader()
        ?.host.machine?.nodes()
        .map(({ node }) => node) ?? [];
    cluster.until("the founders are written down", () => ["n1", "n2", "n3"].every((name) => names().includes(name)));
    expect(cluster.leader()?.host.members?.join(request)).toMatchObject({ ok: false, reason: "being registered" });
  });

  test("a node joins by one address, through snapshots when the log is trimmed", () => {
    const cluster = ready({ snapshotEveryEntries: 20, retainBytes: 100 });
    for (let index = 0; index < 100; index += 1) cluster.submit("n1", acquire(`lock-${index}`, "alice"));
    cluster.until("the log is trimmed", () => (cluster.leader()?.host.system?.raft.firstIndex ?? 0) > 50);
    cluster.add("n4", "http://n4", { join: ["http://n2"] });
    cluster.until("n4 votes", () => voters(cluster).includes("n4"));
    expect(cluster.member("n4").host.system?.snapshots.installedCount).toBe(1);
    expect(cluster.member("n4").host.machine?.lockCount()).toBe(100);
  });

  test("a node with a lost disk may not come back under its id until it is replaced, and then starts as a learner", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "alice"));
    const victim = [...cluster.members.keys()].find((node) => cluster.leader()?.host.config.node !== node) ?? "";
    cluster.kill(victim);
    cluster.member(victim).files.erase();
    cluster.restart(victim);
    cluster.run(3_000);
    expect(cluster.member(victim).host.phase).toBe("joining");
    expect(cluster.member(victim).host.phaseDetail).toMatch(/member replace/);
    const leader = cluster.leader()?.host;
    leader?.members?.changeMembers({ replace: [victim] }, 1_000, () => undefined);
    cluster.until("it votes again", () => cluster.member(victim).host.phase === "running" && voters(cluster).includes(victim));
    expect(cluster.member(victim).host.machine?.lock("a").status).toBe("held");
  });

  test("the approval to replace a lost disk is the cluster's: a leader elected after it takes the new disk in", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "alice"));
    const { leader, followers } = cluster.roles();
    const victim = followers[0].config.node;
    cluster.kill(victim);
    cluster.run(1_000);
    const told = new Told<unknown>();
    leader.host.api.changeMembers({ replace: [victim] }, 2_000, told.hear);
    cluster.until("the approval is committed", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "changed" });
    // All that was only in the leader's memory is gone before the empty disk asks for the first time.
    cluster.kill(leader.config.node);
    cluster.run(2_000);
    cluster.restart(leader.config.node);
    cluster.until("another term's leader", () => cluster.leader() !== null);
    cluster.run(1_000);
    cluster.member(victim).files.erase();
    cluster.restart(victim);
    cluster.until("it votes again", () => cluster.member(victim).host.phase === "running" && voters(cluster).includes(victim));
    expect(cluster.member(victim).host.machine?.lock("a").status).toBe("held");
    // One approval is for one disk.
    expect(
      cluster
        .leader()
        ?.host.machine?.nodes()
        .some((node) => node.replaceable),
    ).toBe(false);
  });

  test("a disk that is in use cannot be given up, nor one of an unknown node", () => {
    const cluster = ready();
    cluster.run(500);
    const { leader, followers } = cluster.roles();
    for (const node of [followers[0].config.node, leader.config.node]) {
      const told = new Told<unknown>();
      followers[1].host.api.changeMembers({ replace: [node] }, 2_000, told.hear);
      cluster.until("an answer", () => told.value !== null);
      expect(told.value).toMatchObject({ type: "refused", reason: expect.stringContaining("is up with its disk") });
    }
    const told = new Told<unknown>();
    leader.host.api.changeMembers({ replace: ["n9"] }, 2_000, told.hear);
    cluster.until("an answer", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "refused", reason: "n9 is not a member" });
  });

  guard("host-change-leaves-minority", "a change that would break the quorum is refused with the reason", () => {
    const cluster = ready();
    const leader = cluster.leader()?.host.config.node ?? "";
    const [dead, alive] = [...cluster.members.keys()].filter((node) => node !== leader);
    cluster.kill(dead ?? "");
    cluster.run(2_000);
    let answer: unknown = null;
    cluster.member(leader).host.api.changeMembers({ remove: [alive ?? ""] }, 2_000, (outcome) => {
      answer = outcome;
    });
    cluster.run(500);
    expect(answer).toMatchObject({ type: "refused", reason: expect.stringContaining("reachable") });
    answer = null;
    cluster.member(alive ?? "").host.api.changeMembers({ remove: [dead ?? ""] }, 5_000, (outcome) => {
      answer = outcome;
    });
    cluster.until("the dead node is removed", () => answer !== null);
    expect(answer).toMatchObject({ type: "changed" });
    expect(voters(cluster)).not.toContain(dead);
  });

  guard("host-voter-before-caught-up", "a learner that lacks what the others have does not vote", () => {
    const cluster = ready();
    const { leader } = cluster.roles();
    const { hub } = leader.host;
    const send = hub.send.bind(hub);
    hub.send = (to, sent, isReply) => (to === "n4" && sent.type === "raft" && sent.message.type === "append") || send(to, sent, isReply);
    cluster.add("n4", "http://n4", { join: [leader.url] });
    cluster.until("n4 is a learner", () => leader.host.system?.raft.membership.learners.includes(nodeId("n4")) === true);
    cluster.run(5_000);
    expect(voters(cluster)).not.toContain("n4");
    hub.send = send;
    cluster.until("n4 votes", () => voters(cluster).includes("n4"));
  });

  guard("host-voters-unbounded", "group 0 has five voters at most, further nodes follow as learners (G3)", () => {
    const cluster = Cluster.of(5);
    cluster.untilReady();
    cluster.add("n6", "http://n6", { join: ["http://n1", "http://n2"] });
    cluster.until("n6 runs", () => cluster.member("n6").host.phase === "running");
    cluster.run(3_000);
    expect(voters(cluster)).toHaveLength(5);
    expect(cluster.leader()?.host.system?.raft.membership.learners).toEqual(["n6"]);
  });

  test("two nodes with one id: the second is refused and both ids are named", () => {
    const cluster = ready();
    const impostor = cluster.add("n2b", "http://n2b", { node: "n2", join: ["http://n1"] });
    cluster.run(2_000);
    expect(impostor.host.phase).toBe("joining");
    expect(voters(cluster)).toEqual(["n1", "n2", "n3"]);
    expect(cluster.submit("n2", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  });

  test("nodes with different MAC keys do not talk, and say why", () => {
    const key = new Uint8Array(16).fill(7);
    const cluster = Cluster.of(3, { macKeys: [key] });
    cluster.until("a leader", () => cluster.leader() !== null);
    const stranger = cluster.add("n9", "http://n9", { join: ["http://n1"], macKeys: [new Uint8Array(16).fill(8)] });
    cluster.run(1_000);
    expect(stranger.host.phase).toBe("joining");
    const lines = [...stranger.telemetry.lines, ...cluster.member("n1").telemetry.lines].map((line) => line.text).join("\n");
    expect(lines).toMatch(/SHARED_MAC_KEY/);
    // Also where the stranger knocked, for whoever looks after that node.
    const { lines: own, counters } = cluster.member("n1").telemetry;
    expect(own.filter(({ event }) => event === "peer.turned-away").map(({ text }) => text)[0]).toMatch(
      /SHARED_MAC_KEY of n9 differs from ours/,
    );
    expect(counters.get("trivet_peer_refusals_total")).toBeGreaterThan(0);
  });

  test("leadership is handed over on a graceful stop", () => {
    const cluster = ready();
    const leader = cluster.leader()?.host.config.node ?? "";
    let stopped = false;
    cluster.member(leader).host.api.stop(() => {
      stopped = true;
    });
    cluster.until("it stopped", () => stopped, 2_000);
    expect(cluster.leader()).not.toBeNull();
    expect(cluster.leader()?.host.config.node).not.toBe(leader);
  });
});
