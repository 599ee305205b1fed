import { expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { withMessage } from "./support.ts";

guard("shard-founded-again", "what a replica acknowledged after it was given away and came back survives its restart", () => {
  const { cluster, group, leader, shards } = withMessage();
  const [absent = "", back = ""] = ["n1", "n2", "n3"].filter((node) => node !== leader);
  const member = cluster.member(back);
  // Its store is flushed late: the log holds what it has.
  if (member.stores !== null) {
    member.stores.options = { latencyMs: ({ type }) => (type === "flush" ? 60_000 : 0.2) };
  }
  const given = member.host.shards?.replica(group);
  if (given === null || given === undefined) throw new Error("no replica");
  member.host.shards?.give(given);
  cluster.until("it is back and votes", () => {
    const replica = member.host.shards?.replica(group) ?? null;
    return replica !== null && replica.group.raft.mayVote && replica.group.raft.lastIndex > 0;
  });
  cluster.run(500);
  cluster.kill(absent);
  shards.produce(leader, "acknowledged by two");
  cluster.run(500);
  cluster.kill(leader);
  cluster.kill(back);
  if (member.stores === null) throw new Error("no stores");
  member.stores.options = { latencyMs: () => 0.2 };
  cluster.restart(back);
  cluster.restart(absent);
  cluster.until("two of three lead on", () => shards.leaders()[group - 1] !== null, 30_000);
  expect(shards.consume(back, 10)).toHaveLength(2);
});

test("a shard that was given away and comes back goes on from the term it had promised", () => {
  const { cluster, group, leader, shards } = withMessage();
  const [third = ""] = ["n1", "n2", "n3"].filter((node) => node !== leader);
  const member = cluster.member(third);
  const old = member.host.shards?.replica(group)?.group.term() ?? 0;
  cluster.kill(leader);
  cluster.until("another leads", () => (shards.leaders()[group - 1] ?? leader) !== leader, 30_000);
  const before = member.host.shards?.replica(group);
  if (before === null || before === undefined) throw new Error("no replica");
  const promised = before.group.term();
  expect(promised).toBeGreaterThan(old);
  member.host.shards?.give(before);
  let seen: number | null = null;
  cluster.until("it is back", () => {
    seen = member.host.shards?.replica(group)?.group.term() ?? null;
    return seen !== null;
  });
  // What the old leader said before it was cut off comes only now.
  member.host.shards?.receive(group, { type: "heartbeat", from: leader, to: third, term: old, round: 1, commit: 0, match: 0 } as never);
  cluster.run(2_000);
  expect([member.host.phase, member.failure?.message]).toEqual(["running", undefined]);
  expect(seen).toBe(promised);
});

test("a crash while a shard's store was being removed does not make the log look damaged later (rules W1, W6)", () => {
  const { cluster, group, leader, shards } = withMessage();
  cluster.run(5_000);
  const back = ["n1", "n2", "n3"].find((node) => node !== leader) ?? "";
  const member = cluster.member(back);
  const replica = member.host.shards?.replica(group);
  if (replica === null || replica === undefined || member.stores === null) throw new Error("no replica");
  member.stores.options = { latencyMs: () => 0.2, fault: ({ type }) => (type === "remove" || type === "close" ? { type: "stall" } : null) };
  member.host.shards?.give(replica);
  cluster.run(200);
  cluster.kill(back);
  member.stores.options = { latencyMs: ({ type }) => (type === "flush" ? 60_000 : 0.2) };
  cluster.restart(back);
  const votes = (): boolean => member.host.shards?.replica(group)?.group.raft.mayVote === true;
  cluster.until("it is back and votes", votes);
  shards.produce(leader, "after");
  cluster.run(500);
  cluster.kill(back);
  member.stores.options = { latencyMs: () => 0.2 };
  cluster.restart(back);
  cluster.until("it has opened its log", () => member.host.system !== null);
  expect(member.host.system?.raft.mayVote).toBe(true);
  cluster.until("it votes", votes);
});

guard(
  "shard-given-log-kept",
  "a crash just after a shard was given away leaves no log behind that its store is missing for (rule W1)",
  () => {
    const { cluster, group, leader } = withMessage(3, { retainBytes: 0 });
    // The log knows what the store has flushed, and has given up what came before.
    cluster.run(5_000);
    const node = ["n1", "n2", "n3"].find((other) => other !== leader) ?? "";
    const member = cluster.member(node);
    const replica = member.host.shards?.replica(group);
    if (replica === null || replica === undefined || member.stores === null) throw new Error("no replica");
    member.host.shards?.give(replica);
    const isThere = (): boolean => member.stores?.names.some((name) => name.startsWith(`g${group}-`)) === true;
    for (let step = 0; step < 1_000 && isThere(); step += 1) cluster.run(0.1);
    expect(isThere()).toBe(false);
    cluster.kill(node);
    cluster.restart(node);
    cluster.until("it is back and votes", () => member.host.shards?.replica(group)?.group.raft.mayVote === true);
    expect(member.telemetry.lines.filter(({ event }) => event === "storage.corrupt")).toEqual([]);
  },
);
