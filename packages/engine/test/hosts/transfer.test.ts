import { expect, test } from "vitest";
import { ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

guard("host-transfer-answers-all", "each caller of a leadership transfer hears how its own ended", () => {
  const cluster = ready();
  cluster.run(500);
  const { leader, followers } = cluster.roles();
  const [first, second] = followers.map(({ config }) => config.node);
  // The first target never hears of it: it cannot take over all the same.
  cluster.network.options = { fate: ({ to }) => ({ delaysMs: to === followers[0].url ? [] : [0.2] }) };
  const told = [new Told<unknown>(), new Told<unknown>(), new Told<unknown>()] as const;
  const { queries } = leader.host;
  queries.transferHere(first ?? "", 5_000, told[0].hear);
  queries.transferHere(second ?? "", 5_000, told[1].hear);
  // The second has ended the first; the third asks for what the second asks for.
  queries.transferHere(second ?? "", 5_000, told[2].hear);
  cluster.run(2_000);
  expect(cluster.leader()?.host.config.node).toBe(second);
  expect(told.map(({ value }) => value)).toEqual([
    { ok: false, reason: `${first} did not take over in time` },
    { ok: true, leader: second },
    { ok: true, leader: second },
  ]);
});

test("a transfer begun after another to the same node was ended does not hear of the earlier one's end", () => {
  const cluster = ready();
  cluster.run(500);
  const { leader, followers } = cluster.roles();
  const [first, second] = followers.map(({ config }) => config.node);
  const told = [
    new Told<{ readonly ok: boolean } | null>(),
    new Told<{ readonly ok: boolean } | null>(),
    new Told<{ readonly ok: boolean } | null>(),
  ] as const;
  const { queries } = leader.host;
  queries.transferHere(first ?? "", 5_000, told[0].hear);
  queries.transferHere(second ?? "", 5_000, told[1].hear);
  queries.transferHere(first ?? "", 5_000, told[2].hear);
  cluster.run(2_000);
  expect(told.slice(0, 2).map(({ value }) => value?.ok)).toEqual([false, false]);
  expect(told[2].value?.ok).toBe(cluster.leader()?.host.config.node === first);
});
