import { expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { message, withMessage } from "./support.ts";

test("one idempotent call that comes to two nodes without a replica at a time is answered at both (rule X2)", () => {
  const { cluster, group, shards } = withMessage(5);
  const without = [...cluster.members.values()].filter(({ host }) => (host.shards?.replica(group) ?? null) === null);
  expect(without.length).toBe(2);
  const told = Array.from({ length: 40 }, (_, attempt) =>
    without.map(({ host, config }, which) => {
      const heard = new Told<unknown>();
      const command = {
        type: "produce",
        queue: shards.queue,
        partition: 0,
        version: 1,
        messages: [message("once")],
        ifFence: null,
      } as const;
      const options = { timeoutMs: 5_000, idempotency: { key: `key${attempt}`, fingerprint: "f" } };
      cluster
        .member(config.node)
        .view.schedule(attempt * 50 + which * attempt * 0.05, () =>
          host.queueStorage.submit({ queue: shards.queue, partition: 0 }, command, options, heard.hear),
        );
      return heard;
    }),
  ).flat();
  cluster.until("all are told", () => told.every(({ value }) => value !== null), 20_000);
  expect(told.map(({ value }) => (value as { type: string }).type).filter((type) => type !== "answered")).toEqual([]);
});

test("an idempotent call is answered on a node without a replica also after the leader's own node had the same one", () => {
  const { cluster, group, leader, shards } = withMessage(5);
  const remote = [...cluster.members.values()].find(({ host }) => (host.shards?.replica(group) ?? null) === null)?.config.node ?? "";
  const types = [remote, leader, remote].map((node) => {
    const heard = new Told<unknown>();
    const command = { type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [message("once")], ifFence: null } as const;
    cluster
      .member(node)
      .host.queueStorage.submit(
        { queue: shards.queue, partition: 0 },
        command,
        { timeoutMs: 5_000, idempotency: { key: "key", fingerprint: "f" } },
        heard.hear,
      );
    cluster.until("told", () => heard.value !== null, 20_000);
    // Something else is applied meanwhile, which tells the worker who waits no more.
    shards.produce(leader, "other");
    return (heard.value as { type: string }).type;
  });
  expect(types).toEqual(["answered", "answered", "answered"]);
});

test("a node without a replica keeps nothing of callers that are over", () => {
  const { cluster, group, shards } = withMessage(5);
  const remote = [...cluster.members.values()].find(({ host }) => (host.shards?.replica(group) ?? null) === null);
  if (remote === undefined) throw new Error("all have one");
  for (let call = 0; call < 50; call++) {
    const heard = new Told<unknown>();
    const command = { type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [message("a")], ifFence: null } as const;
    remote.host.queueStorage.submit(
      { queue: shards.queue, partition: 0 },
      command,
      { timeoutMs: 5_000, idempotency: { key: `key${call}`, fingerprint: "f" } },
      heard.hear,
    );
    cluster.until("told", () => heard.value !== null);
  }
  cluster.run(20_000);
  const entry = remote.host.shards?.entry(group) as unknown as { readonly began: Set<string>; readonly ended: Set<string> };
  expect(entry.began.size + entry.ended.size).toBeLessThan(5);
});
