import { expect, test } from "vitest";
import { scalableRole } from "../../src/members/gone-members.ts";
import { scalableGoneAfterMs } from "../../src/base/limits.ts";
import { acquire, type Cluster, ready } from "./cluster.ts";
import { guard } from "./guard.ts";

// Ten minutes pass here: fewer rounds do.
const calm = { heartbeatMs: 500, electionMinMs: 2_000, electionMaxMs: 4_000 } as const;

const members = (cluster: Cluster): readonly string[] => {
  const membership = cluster.leader()?.host.system?.raft.membership;
  return [...(membership?.voters ?? []), ...(membership?.learners ?? [])].toSorted();
};
const registered = (cluster: Cluster): readonly string[] => (cluster.leader()?.host.machine?.nodes() ?? []).map(({ node }) => node).sort();

/** Three nodes and a scaled replica that has joined them. */
function scaled(): Cluster {
  const cluster = ready(calm);
  const roles = `queue,${scalableRole}`;
  cluster.add("c0ffee", "http://c0ffee", { ...calm, roles, mayVote: false, join: ["http://nowhere", "http://n1", "http://n2"] });
  cluster.until("it is a member", () => members(cluster).includes("c0ffee") && cluster.member("c0ffee").host.phase === "running", 60_000);
  return cluster;
}

test("a scaled replica takes calls and has no vote, however long it is there", () => {
  const cluster = scaled();
  expect(cluster.submit("c0ffee", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  cluster.run(60_000);
  expect(cluster.leader()?.host.system?.raft.membership).toMatchObject({ voters: ["n1", "n2", "n3"], learners: ["c0ffee"] });
});

test("an address to join by that leads nowhere is given up once the node is a member", () => {
  const cluster = scaled();
  const known = (): readonly string[] =>
    cluster
      .member("c0ffee")
      .host.api.status()
      .peers.map(({ address }) => address);
  cluster.until("it is not dialled any more", () => !known().includes("http://nowhere"), 60_000);
  expect(known().toSorted()).toEqual(["http://n1", "http://n2", "http://n3"]);
});

test("one that was killed is dropped after ten minutes of silence, and its id may come again with an empty disk", () => {
  const cluster = scaled();
  cluster.kill("c0ffee");
  cluster.run(scalableGoneAfterMs + 15_000);
  cluster.until("it is forgotten", () => !members(cluster).includes("c0ffee") && !registered(cluster).includes("c0ffee"), 60_000);
  expect(cluster.leader()?.telemetry.lines.filter(({ event }) => event === "node.dropped")).toHaveLength(1);
  cluster.member("c0ffee").files.erase();
  cluster.restart("c0ffee");
  cluster.until("it is a member again", () => members(cluster).includes("c0ffee"), 60_000);
});

guard("host-scalable-dropped-at-once", "a scaled replica that comes back within ten minutes is still a member", () => {
  const cluster = scaled();
  cluster.kill("c0ffee");
  cluster.run(scalableGoneAfterMs / 2);
  expect(registered(cluster)).toContain("c0ffee");
  cluster.restart("c0ffee");
  cluster.until("it runs", () => cluster.member("c0ffee").host.phase === "running", 60_000);
  cluster.run(scalableGoneAfterMs);
  expect(members(cluster)).toContain("c0ffee");
});

guard("host-member-dropped-by-silence", "a member that is not a scaled replica is never dropped for being silent", () => {
  const cluster = ready(calm);
  const [silent] = cluster.roles().followers;
  cluster.kill(silent.config.node);
  cluster.run(scalableGoneAfterMs + 60_000);
  expect(registered(cluster)).toEqual(["n1", "n2", "n3"]);
});
