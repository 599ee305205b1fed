import { expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

const url = (node: string): string => `http://${node}`;

/** Weak origins let nodes with different lists run happily, each with its own majority (T-01, W-70). */
test("G2: nodes that list different members found no cluster, and say both lists", () => {
  const cluster = new Cluster();
  const lists = { n1: ["n1", "n2", "n3"], n2: ["n1", "n2", "n3", "n4"], n3: ["n1", "n2", "n3"], n4: ["n1", "n2", "n3", "n4"] };
  for (const [node, peers] of Object.entries(lists)) cluster.add(node, url(node), { peers: peers.map(url) });
  cluster.run(20_000);
  for (const { host } of cluster.members.values()) {
    expect(host.identity?.cluster ?? null).toBeNull();
    expect(host.system?.isLeader ?? false).toBe(false);
  }
  const said = [...cluster.members.values()].map(
    ({ host, telemetry }) => `${host.phaseDetail} ${telemetry.lines.map(({ text }) => text).join(" ")}`,
  );
  expect(said.join(" ")).toContain("member lists differ: n2 lists n1, n2, n3, n4; the founding lists n1, n2, n3");
  // With one list on all of them the same disks found it.
  for (const node of ["n1", "n2", "n3", "n4"]) cluster.kill(node);
  const corrected = new Cluster();
  for (const node of ["n1", "n2", "n3", "n4"]) corrected.add(node, url(node), { peers: lists.n4.map(url) });
  corrected.untilReady();
  expect(corrected.leader()?.host.system?.raft.membership.voters).toHaveLength(4);
});
