import { describe, expect, test } from "vitest";
import { acquire, Cluster } from "./cluster.ts";

describe("a cluster of node hosts", () => {
  test("three empty nodes found a cluster and elect one leader", () => {
    const cluster = Cluster.of(3);
    cluster.until("a leader", () => cluster.leader() !== null);
    cluster.until("all running", () =>
      [...cluster.members.values()].every(({ host }) => host.phase === "running" && host.system?.leader() !== null),
    );
    const clusters = new Set([...cluster.members.values()].map(({ host }) => host.identity?.cluster));
    expect(clusters.size).toBe(1);
  });

  test("a lock is granted through any node, and refused to another owner with its holder", () => {
    const cluster = Cluster.of(3);
    cluster.until("a leader", () => cluster.leader() !== null);
    expect(cluster.submit("n1", acquire("a", "alice"))).toMatchObject({ type: "answered", result: { type: "granted", fence: 1 } });
    expect(cluster.submit("n2", acquire("a", "bob"))).toMatchObject({
      type: "answered",
      result: { type: "busy", holders: [{ owner: "alice" }] },
    });
    expect(cluster.submit("n3", acquire("b", "bob"))).toMatchObject({ type: "answered", result: { type: "granted", fence: 2 } });
  });

  test("a lock survives the death of the leader and the restart of all nodes", () => {
    const cluster = Cluster.of(3);
    cluster.until("a leader", () => cluster.leader() !== null);
    cluster.submit("n1", acquire("a", "alice"));
    const old = cluster.leader()?.host.config.node ?? "";
    cluster.kill(old);
    cluster.until("another leader", () => cluster.leader() !== null && cluster.leader()?.host.config.node !== old);
    const other = [...cluster.members.keys()].find((node) => node !== old) ?? "";
    expect(cluster.submit(other, acquire("a", "bob"))).toMatchObject({ result: { type: "busy", holders: [{ owner: "alice", fence: 1 }] } });
    for (const node of cluster.members.keys()) if (node !== old) cluster.kill(node);
    for (const node of cluster.members.keys()) cluster.restart(node);
    cluster.until("a leader again", () => cluster.leader() !== null);
    expect(cluster.submit("n2", acquire("a", "bob"))).toMatchObject({ result: { type: "busy", holders: [{ owner: "alice", fence: 1 }] } });
  });
});

describe("links", () => {
  test("a node that is dialled while it starts is heard afterwards (its hello must name its cluster)", () => {
    const cluster = Cluster.of(3);
    cluster.until("a leader", () => cluster.leader() !== null);
    for (let round = 0; round < 6; round += 1) {
      const victim = cluster.leader()?.host.config.node ?? "";
      cluster.kill(victim);
      cluster.until("another leader", () => cluster.leader() !== null && cluster.leader()?.host.config.node !== victim);
      // Reading the identity takes long, while the others dial twice a second.
      cluster.member(victim).files.options = { latencyMs: () => (cluster.member(victim).host.phase === "starting" ? 300 : 0.1) };
      cluster.restart(victim);
      cluster.until(
        "it follows again",
        () =>
          cluster.member(victim).host.system?.leader() === cluster.leader()?.host.config.node &&
          cluster.member(victim).host.phase === "running",
      );
      for (const other of cluster.members.values()) {
        for (const peer of other.host.hub.connected()) expect(other.host.hub.helloOf(peer)?.cluster).toBe(other.host.identity?.cluster);
      }
    }
  });
});
