import { describe, expect, test } from "vitest";
import { groupId } from "@trivet/core";
import { Told } from "../hosts/cluster.ts";
import { Shards } from "./support.ts";

const request = {
  queue: "orders",
  group: "g",
  consumer: "c",
  partition: null,
  maxMessages: 1,
  maxBytes: 0,
  visibilityMs: 0,
  waitMs: 60_000,
  autoAck: false,
  start: { type: "earliest" },
} as const;

test("`readyAll` (a new leader, an installed snapshot) makes those who wait look again", () => {
  const shards = new Shards();
  shards.untilLed();
  shards.define("orders");
  const { host } = shards.cluster.member("n1");
  host.queues.consume(request, { timeoutMs: 70_000 }, () => undefined);
  shards.cluster.run(2_000);
  let asked = 0;
  const storage = host.queuing.embedded as unknown as { submit: (...args: unknown[]) => unknown };
  const { submit } = storage;
  storage.submit = (...args) => {
    asked += 1;
    return submit.apply(storage, args);
  };
  host.shards?.readyAll();
  shards.cluster.run(1_000);
  expect(asked).toBeGreaterThan(0);
});

test("who waits at a node without a replica is told, though the link broke that the hint was on", () => {
  const shards = new Shards(5);
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  const group = groupId(1 + (shards.queue % 4));
  const remote = [...cluster.members.values()].find(({ host }) => (host.shards?.replica(group) ?? null) === null);
  const leader = shards.leaders()[group - 1] ?? "";
  if (remote === undefined) throw new Error("all have one");
  const other = [...cluster.members.keys()].find((node) => node !== leader && node !== remote.config.node) ?? "";
  shards.ack(other, shards.consume(other));
  const told = new Told<unknown>();
  remote.host.queues.consume(request, { timeoutMs: 70_000 }, told.hear);
  cluster.run(3_000);
  expect(told.value).toBeNull();
  const { hub } = cluster.member(leader).host;
  const send = hub.send.bind(hub);
  hub.send = (to, sent, reply) => (sent.type === "ready" ? true : send(to, sent, reply));
  shards.produce(other, "news");
  const [a, b] = [cluster.member(leader).url, remote.url];
  cluster.network.breakLinks((local, far) => (local === a && far === b) || (local === b && far === a), "reset");
  hub.send = send;
  cluster.run(15_000);
  expect(told.value).toMatchObject({ type: "consumed", messages: [{}] });
});

/** What was told while nobody heard it at `remote`, which then hears `spoil`. */
const misses = (shards: Shards, spoil: (leader: string, remote: string) => void): void => {
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  const remote = [...cluster.members.values()].find(({ host }) => host.system?.isLeader !== true);
  if (remote === undefined) throw new Error("one node");
  const { node } = remote.config;
  const drained = new Told<unknown>();
  cluster.leader()?.host.api.changeMembers({ drain: { nodes: [node], draining: true } }, 60_000, drained.hear);
  cluster.until("it is empty", () => drained.value !== null && [...(remote.host.shards?.all() ?? [])].length === 0, 90_000);
  const group = groupId(1 + (shards.queue % 4));
  const leader = shards.leaders()[group - 1] ?? "";
  const other = [...cluster.members.keys()].find((one) => one !== leader && one !== node) ?? "";
  shards.ack(other, shards.consume(other));
  const told = new Told<unknown>();
  remote.host.queues.consume(request, { timeoutMs: 70_000 }, told.hear);
  cluster.run(3_000);
  expect(told.value).toBeNull();
  const { hub } = cluster.member(leader).host;
  const send = hub.send.bind(hub);
  hub.send = (to, sent, reply) => (sent.type === "ready" ? true : send(to, sent, reply));
  shards.produce(other, "news");
  cluster.run(100);
  expect(told.value).toBeNull();
  spoil(leader, node);
  hub.send = send;
  cluster.run(15_000);
  expect(told.value).toMatchObject({ type: "consumed", messages: [{}] });
};

describe("a node without any replica hears nothing of Raft; who waits there is told", () => {
  test("when the link breaks that the hint was on", () => {
    const shards = new Shards(5);
    const { cluster } = shards;
    misses(shards, (leader, remote) => {
      const [a, b] = [cluster.member(leader).url, cluster.member(remote).url];
      cluster.network.breakLinks((local, far) => (local === a && far === b) || (local === b && far === a), "reset");
    });
  });

  test("when the leader dies with the hint", () => {
    const shards = new Shards(5);
    misses(shards, (leader) => shards.cluster.kill(leader));
  });
});
