import { expect, test } from "vitest";
import { message, Shards, withMessage } from "./support.ts";

test("the only copy of a shard is not thrown away because it is damaged (rule W6)", () => {
  const shards = new Shards(1);
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  const command = (body: string) =>
    ({ type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [message(body)], ifFence: null }) as const;
  shards.produce("n1", "a".repeat(500), "b".repeat(500));
  cluster.run(5_000);
  const { stores, host } = cluster.member("n1");
  const contents = (stores as unknown as { contents: Map<string, { pairs: { get(key: Uint8Array): unknown }; commits: number }> }).contents;
  const name = `g${1 + (shards.queue % 4)}-0`;
  const before = contents.get(name);
  // The counters of the partition, or whatever produce reads: every pair of the store.
  const pairs = (before as unknown as { pairs: { seek?: unknown } }).pairs as never;
  for (const key of keysOf(pairs)) if (key.length > 1) stores?.flipBit(name, key, 3);
  shards.begin("n1", command("c"), 5_000);
  cluster.run(3_000);
  expect(contents.has(name)).toBe(true);
  expect(host.phase).toBe("failed");
});

function keysOf(pairs: never): Uint8Array[] {
  const found: Uint8Array[] = [];
  const walk = (value: unknown, depth: number): void => {
    if (depth > 6 || value === null || typeof value !== "object") return;
    if (value instanceof Uint8Array) return;
    const pair = value as { key?: unknown };
    if (pair.key instanceof Uint8Array) found.push(pair.key);
    for (const inner of Object.values(value)) walk(inner, depth + 1);
  };
  walk(pairs, 0);
  return found;
}

test("a replica whose store cannot be read when it starts fetches it again, and its node goes on (rule W6)", () => {
  const { cluster, group } = withMessage();
  cluster.run(5_000);
  const { stores } = cluster.member("n3");
  cluster.kill("n3");
  stores?.flipBit(`g${group}-0`, new Uint8Array([0]), 3);
  cluster.restart("n3");
  cluster.run(10_000);
  const { host } = cluster.member("n3");
  expect(host.phase).toBe("running");
  expect(host.shards?.replica(group)?.group.raft.mayVote).toBe(true);
});

test("a replica whose store turns out to be damaged is fetched again, and nothing says that its shard has moved away", () => {
  const { cluster, group, shards } = withMessage();
  cluster.run(5_000);
  const name = `g${group}-0`;
  const damaged = cluster.member("n3");
  const contents = (damaged.stores as unknown as { contents: Map<string, { pairs: never }> }).contents;
  for (const key of keysOf(contents.get(name)?.pairs as never)) if (key.length > 1) damaged.stores?.flipBit(name, key, 3);
  const before = damaged.host.shards?.replica(group);
  shards.produce("n1", "b");
  const events = (): readonly string[] => damaged.telemetry.lines.map(({ event }) => event);
  cluster.until("the damage is found", () => events().includes("storage.corrupt"));
  cluster.until("it has another replica, which votes", () => {
    const now = damaged.host.shards?.replica(group) ?? null;
    return now !== null && now !== before && now.group.raft.mayVote;
  });
  expect(events()).not.toContain("shard.given");
});
