import { describe, expect, test } from "vitest";
import type { NodeApi } from "@trivet/engine";
import { acquire, type Cluster, ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

function remove(cluster: Cluster, node: string): void {
  const told = new Told<unknown>();
  cluster.member(node).host.api.changeMembers({ remove: [node] }, 5_000, told.hear);
  cluster.until(`${node} is removed`, () => told.value !== null);
  expect(told.value).toMatchObject({ type: "changed" });
}

function linesOf(cluster: Cluster, node: string, event: string): readonly string[] {
  return cluster
    .member(node)
    .telemetry.lines.filter((line) => line.event === event)
    .map((line) => `${line.level} ${line.text}`);
}

describe("a removed node (G4)", () => {
  guard("host-removed-node-unaware", "a removed follower says so once, with what to do, and takes no more calls", () => {
    const cluster = ready();
    cluster.run(500);
    const node = cluster.roles().followers[0].config.node;
    remove(cluster, node);
    cluster.until("it knows", () => cluster.member(node).host.phase === "removed", 10_000);
    const { api } = cluster.member(node).host;
    expect(api.status().phaseDetail).toMatch(/was removed from the cluster .* empty DATA_DIR/);
    expect(linesOf(cluster, node, "node.removed")).toEqual([expect.stringMatching(/^error .*was removed from the cluster/)]);
    const refusal = { type: "unavailable", code: "removed", detail: expect.stringContaining("empty DATA_DIR") };
    expect(cluster.submit(node, acquire("a", "alice"))).toMatchObject(refusal);
    const told = new Told<{ readonly type: string }>();
    const asks: readonly ((api: NodeApi) => void)[] = [
      (asked) => asked.read("linearizable", 5_000, told.hear),
      (asked) => asked.keepAlive([1], 5_000, told.hear),
      (asked) => asked.renew("a", 1, 5_000, told.hear),
      (asked) => asked.transferLeadership(null, 5_000, told.hear),
    ];
    for (const ask of asks) {
      told.value = null;
      ask(api);
      cluster.until("an answer", () => told.value !== null, 3_000);
      expect(told.value).toMatchObject(refusal);
    }
    // It neither stands for election nor says any more about it.
    const lines = cluster.member(node).telemetry.lines.length;
    cluster.run(30_000);
    expect(cluster.member(node).telemetry.lines.slice(lines)).toEqual([]);
    expect(cluster.submit(cluster.leader()?.host.config.node ?? "", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  });

  test("a leader that removes itself says so, too, and so does a removed node that is started again", () => {
    const cluster = ready();
    cluster.run(500);
    const node = cluster.roles().leader.config.node;
    remove(cluster, node);
    cluster.until("it knows", () => cluster.member(node).host.phase === "removed", 10_000);
    cluster.kill(node);
    cluster.restart(node);
    cluster.until("it knows again", () => cluster.member(node).host.phase === "removed", 10_000);
  });

  test("a node that is only cut off is not told that it was removed", () => {
    const cluster = ready();
    cluster.run(500);
    const { followers } = cluster.roles();
    for (const other of [cluster.roles().leader, followers[0]]) cluster.kill(other.config.node);
    cluster.run(10_000);
    expect(followers[1].host.phase).toBe("running");
    for (const other of cluster.members.keys()) if (other !== followers[1].config.node) cluster.restart(other);
    cluster.untilReady();
  });

  test("a removed node that is taken in again with its data runs again", () => {
    const cluster = ready();
    cluster.run(500);
    const node = cluster.roles().followers[0].config.node;
    remove(cluster, node);
    cluster.until("it knows", () => cluster.member(node).host.phase === "removed", 10_000);
    const told = new Told<unknown>();
    const add = [{ node, url: cluster.member(node).url, voter: true }];
    cluster.leader()?.host.api.changeMembers({ add }, 5_000, told.hear);
    cluster.until("it runs", () => cluster.member(node).host.phase === "running", 10_000);
    expect(cluster.submit(node, acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  });

  for (const macKeys of [[], [new Uint8Array(16).fill(7)]]) {
    test(`a disk that was replaced meanwhile says so when it comes back ${macKeys.length === 0 ? "without" : "with"} a key`, () => {
      const cluster = ready({ macKeys });
      cluster.run(500);
      const { leader, followers } = cluster.roles();
      const node = followers[0].config.node;
      cluster.kill(node);
      cluster.run(1_000);
      leader.host.api.changeMembers({ replace: [node] }, 2_000, () => undefined);
      cluster.run(200);
      const replacement = cluster.add("new", "http://new", { node, macKeys, join: [leader.url] });
      cluster.until("the new disk runs", () => replacement.host.phase === "running");
      cluster.run(1_000);
      cluster.kill("new");
      cluster.restart(node);
      cluster.until("the old disk knows", () => cluster.member(node).host.phase === "removed", 15_000);
      expect(cluster.member(node).host.phaseDetail).toContain("another");
    });
  }
});
