import { expect, test } from "vitest";
import { acquire, type Cluster, ready, Told } from "./cluster.ts";
import type { Outcome } from "@trivet/engine";

const edges = (cluster: Cluster): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    [...cluster.members.values()]
      .filter(({ host }) => !host.isStopped)
      .map(({ host }) => [
        host.config.node,
        (host.machine?.waitEdges(10) ?? []).map(({ waiter, holder, name }) => `${waiter} ${name} ${holder}`),
      ]),
  );

/** Weak origins kept the graph in the leader's memory and never took edges out (W-34). */
test("every node knows who waits for whom, the next leader too, and an edge ends with its wait", () => {
  const cluster = ready();
  cluster.submit("n1", acquire("a", "alice"));
  const { leader, followers } = cluster.roles();
  const [one, two] = followers.map(({ config }) => config.node) as [string, string];
  const told = new Told<Outcome>();
  const call = cluster.member(one).host.api.submit(acquire("a", "bob", { waitMs: 60_000 }), { timeoutMs: 70_000 }, told.hear);
  const waiting = ["bob a alice"];
  cluster.until("all know the edge", () => Object.values(edges(cluster)).every((list) => list.join() === waiting.join()));
  cluster.kill(leader.config.node);
  cluster.until("another leader", () => cluster.leader() !== null && cluster.leader() !== leader);
  cluster.run(1_000);
  expect(edges(cluster)).toMatchObject({ [one]: waiting, [two]: waiting });
  // A deadlock through an edge that the dead leader made is found by the next one, and only that.
  cluster.submit(two, acquire("b", "bob"));
  const refused = cluster.submit(two, acquire("b", "alice", { waitMs: 10_000 }));
  expect(refused).toMatchObject({ type: "answered", result: { type: "deadlock" } });
  call.abandon();
  cluster.run(1_000);
  expect(edges(cluster)).toMatchObject({ [one]: [], [two]: [] });
  // Without the edge there is no cycle: no false alarm.
  const second = cluster.begin(two, acquire("b", "alice", { waitMs: 2_000 }), { timeoutMs: 5_000 });
  cluster.run(3_000);
  expect(second.value).toMatchObject({ result: { type: "busy" } });
});
