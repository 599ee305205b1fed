import { describe, expect, test } from "vitest";
import { type Member, Told } from "../hosts/cluster.ts";
import { type Begun, longPoll, Shards, withMessage } from "./support.ts";

test("`readyAll` (a new leader, an installed snapshot) makes those who wait look again", () => {
  const shards = new Shards();
  shards.untilLed();
  shards.define("orders");
  const { host } = shards.cluster.member("n1");
  host.queues.consume(longPoll, { timeoutMs: 70_000 }, () => undefined);
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

/** Somebody waits at `remote`; what is told meanwhile nobody hears there, and then `spoil` happens. In the end the message is handed out. */
const misses = ({ cluster, group, shards }: Begun, remote: Member, spoil: (leader: Member, isTold: () => boolean) => void): void => {
  const leader = cluster.member(shards.leaders()[group - 1] ?? "nobody");
  const other = [...cluster.members.values()].find((one) => one !== leader && one !== remote)?.config.node ?? "nobody";
  shards.ack(other, shards.consume(other));
  const told = new Told<unknown>();
  remote.host.queues.consume(longPoll, { timeoutMs: 70_000 }, told.hear);
  cluster.run(3_000);
  expect(told.value).toBeNull();
  const { hub } = leader.host;
  const send = hub.send.bind(hub);
  hub.send = (to, sent, reply) => (sent.type === "ready" ? true : send(to, sent, reply));
  shards.produce(other, "news");
  spoil(leader, () => told.value !== null);
  hub.send = send;
  cluster.run(15_000);
  expect(told.value).toMatchObject({ type: "consumed", messages: [{}] });
};

const breakLink = ({ cluster }: Begun, { url: a }: Member, { url: b }: Member): void =>
  cluster.network.breakLinks((local, far) => (local === a && far === b) || (local === b && far === a), "reset");

test("who waits at a node without a replica is told, though the link broke that the hint was on", () => {
  const begun = withMessage(5);
  const { cluster, group } = begun;
  const remote = [...cluster.members.values()].find(({ host }) => (host.shards?.replica(group) ?? null) === null);
  if (remote === undefined) throw new Error("all have one");
  misses(begun, remote, (leader) => breakLink(begun, leader, remote));
});

/** A node that leads nothing, emptied. */
const emptied = ({ cluster }: Begun): Member => {
  const remote = [...cluster.members.values()].find(({ host }) => host.system?.isLeader !== true);
  if (remote === undefined) throw new Error("one node");
  const drained = new Told<unknown>();
  cluster.leader()?.host.api.changeMembers({ drain: { nodes: [remote.config.node], draining: true } }, 60_000, drained.hear);
  cluster.until("it is empty", () => drained.value !== null && [...(remote.host.shards?.all() ?? [])].length === 0, 90_000);
  return remote;
};

describe("a node without any replica hears nothing of Raft; who waits there is told", () => {
  test("when the link breaks that the hint was on", () => {
    const begun = withMessage(5);
    const remote = emptied(begun);
    misses(begun, remote, (leader, isTold) => {
      begun.cluster.run(100);
      expect(isTold()).toBe(false);
      breakLink(begun, leader, remote);
    });
  });

  test("when the leader dies with the hint", () => {
    const begun = withMessage(5);
    misses(begun, emptied(begun), ({ config }, isTold) => {
      begun.cluster.run(100);
      expect(isTold()).toBe(false);
      begun.cluster.kill(config.node);
    });
  });
});
