import { expect, test } from "vitest";
import { acquire, type Cluster, ready } from "./cluster.ts";
import { guard } from "./guard.ts";

const registered = (cluster: Cluster): Readonly<Record<string, string>> =>
  Object.fromEntries((cluster.leader()?.host.machine?.nodes() ?? []).map(({ node, url }) => [node, url]));

/** Every node is started again, n1 where n2 was, n2 where n3 was, n3 at an address that nobody had. */
function shifted(): Cluster {
  const cluster = ready();
  cluster.submit("n1", acquire("a", "alice"));
  const urls = ["http://n2", "http://n3", "http://n4"];
  for (const node of cluster.members.keys()) cluster.kill(node);
  for (const [index, node] of ["n1", "n2", "n3"].entries()) cluster.move(node, urls[index] ?? "", { peers: urls });
  cluster.until("a leader", () => cluster.leader() !== null);
  return cluster;
}

guard(
  "host-member-not-followed",
  "members that are started with other addresses are known by those, and the old ones are dialled no more",
  () => {
    const cluster = shifted();
    const places = { n1: "http://n2", n2: "http://n3", n3: "http://n4" };
    cluster.until("the registry says so", () => JSON.stringify(registered(cluster)) === JSON.stringify(places), 10_000);
    cluster.until(
      "everybody dials those, and only those",
      () =>
        [...cluster.members.values()].every(({ host }) => {
          const peers = host.api.status().peers;
          return (
            peers.length === 2 &&
            peers.every(({ address, connected, node }) => connected && address === places[node as keyof typeof places])
          );
        }),
      30_000,
    );
    expect(cluster.leader()?.host.machine?.nodes()).toMatchObject([{ voter: true }, { voter: true }, { voter: true }]);
    expect(
      cluster
        .leader()
        ?.host.machine?.nodes()
        .every(({ storage }) => storage !== ""),
    ).toBe(true);
    expect(cluster.lockStatus("a")).toBe("held");
  },
);

test("one that moves while the others run is followed, and where it was is dialled no more", () => {
  const cluster = ready();
  const { followers, leader } = cluster.roles();
  const { node } = followers[0].config;
  const { peers } = followers[0].config;
  cluster.kill(node);
  cluster.run(1_000);
  cluster.move(node, "http://n9", { peers: [...peers, "http://n9"] });
  cluster.until("the registry says so", () => registered(cluster)[node] === "http://n9");
  expect(leader.telemetry.lines.filter(({ event }) => event === "node.moved")).toHaveLength(1);
});

test("one that says the address of another that is up is not followed there", () => {
  const cluster = ready();
  const { followers } = cluster.roles();
  const { node } = followers[0].config;
  const taken = followers[1].config.url;
  cluster.kill(node);
  cluster.move(node, followers[0].url, { url: taken });
  cluster.until("it is back", () => cluster.member(node).host.phase === "running" && cluster.leader() !== null);
  cluster.run(5_000);
  expect(registered(cluster)[node]).toBe(followers[0].url);
});
