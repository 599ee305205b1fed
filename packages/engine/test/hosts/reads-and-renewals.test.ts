import { expect, test } from "vitest";
import type { NodeApi } from "@trivet/engine";
import { acquire, ready, Told } from "./cluster.ts";

type ReadOutcome = Parameters<Parameters<NodeApi["read"]>[2]>[0];
type RenewOutcome = Parameters<Parameters<NodeApi["renew"]>[3]>[0];

test("without a leader each read is refused at its own deadline, however many come", () => {
  const cluster = ready();
  cluster.kill("n2");
  cluster.kill("n3");
  const { host } = cluster.member("n1");
  cluster.until("n1 has no leader", () => host.system?.leader() === null);
  cluster.run(500);
  const first = new Told<ReadOutcome>();
  host.api.read("linearizable", 300, first.hear);
  for (let round = 0; round < 200; round += 1) {
    host.api.read("linearizable", 300, () => undefined);
    cluster.run(10);
  }
  expect(first.value).toMatchObject({ type: "unavailable" });
});

test("a live lease renewed through a node that lags is not `lost`", () => {
  const cluster = ready();
  cluster.run(300);
  const { leader, followers } = cluster.roles();
  const [lagging] = followers;
  lagging.files.options = { latencyMs: () => 200 };
  const held = cluster.submit(leader.config.node, acquire("a", "alice"));
  if (held.type !== "answered" || held.result.type !== "granted") throw new Error(JSON.stringify(held));
  const renewed = new Told<RenewOutcome>();
  lagging.host.api.renew("a", held.result.fence, 2_000, renewed.hear);
  cluster.until("the renewal is answered", () => renewed.value !== null, 3_000);
  expect(renewed.value).toMatchObject({ type: "renewed" });
});
