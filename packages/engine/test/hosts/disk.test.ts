import { expect, test } from "vitest";
import { acquire, Cluster } from "./cluster.ts";

test("a leader with an almost full disk refuses writes before the log fails, goes on reading, and takes writes again when there is room", () => {
  const cluster = Cluster.of(3, { walSegmentBytes: 64 * 1024 });
  cluster.until("a leader", () => cluster.leader() !== null);
  cluster.submit("n1", acquire("a", "alice"));
  const leader = cluster.leader();
  const files = leader?.files;
  if (leader === null || files === undefined) throw new Error("no leader");
  files.options = { ...files.options, quotaBytes: files.usedBytes() + 100 * 1024 };
  cluster.run(500);
  for (const node of cluster.members.keys()) {
    expect(cluster.submit(node, acquire("b", "bob"))).toMatchObject({ type: "unavailable", code: "storage" });
  }
  let seen: string | null = null;
  leader.host.api.read("linearizable", 1_000, (outcome) => {
    seen = outcome.type === "ready" ? outcome.state.lock("a").status : outcome.code;
  });
  cluster.run(100);
  expect(seen).toBe("held");
  files.options = { latencyMs: () => 0.1 };
  cluster.run(500);
  expect(cluster.submit("n2", acquire("b", "bob"))).toMatchObject({ type: "answered", result: { type: "granted" } });
  expect([...cluster.members.values()].map((member) => member.failure)).toEqual([null, null, null]);
});

test("a removed leader is told that its removal took effect", () => {
  const cluster = Cluster.of(3);
  cluster.until("a leader", () => cluster.leader() !== null);
  cluster.run(500);
  const leader = cluster.leader()?.host.config.node ?? "";
  let answer: unknown = null;
  cluster.member(leader).host.api.changeMembers({ remove: [leader] }, 5_000, (outcome) => {
    answer = outcome;
  });
  cluster.until("an answer", () => answer !== null);
  expect(answer).toMatchObject({ type: "changed" });
  cluster.until("another leader", () => cluster.leader() !== null && cluster.leader()?.host.config.node !== leader);
  expect(cluster.leader()?.host.system?.raft.membership.voters).not.toContain(leader);
});
