import { expect, test } from "vitest";
import { acquire, ready } from "./cluster.ts";

test("what is counted of Raft is really counted: entries, commits, forwards, reads and refusals of a running cluster", () => {
  const cluster = ready();
  cluster.run(500);
  const { leader, followers } = cluster.roles();
  const [entry] = followers;
  for (let index = 0; index < 10; index += 1) {
    cluster.submit(leader.config.node, acquire(`lead-${index}`, "alice"));
    cluster.submit(entry.config.node, acquire(`follow-${index}`, "alice"));
  }
  // A turn's commands share an entry.
  for (let index = 0; index < 5; index += 1) cluster.begin(leader.config.node, acquire(`batch-${index}`, "alice"), { timeoutMs: 5_000 });
  entry.host.api.read("linearizable", 5_000, () => undefined);
  cluster.run(200);
  const { counters, observations } = leader.telemetry;
  for (const name of [
    "trivet_raft_proposals_committed_total",
    "trivet_raft_proposals_applied_total",
    "trivet_raft_heartbeats_total",
    "trivet_raft_role_changes_total",
    "trivet_raft_leader_changes_total",
    "trivet_raft_elections_total",
  ]) {
    expect(counters.get(name), name).toBeGreaterThan(0);
  }
  const entries = observations.get("trivet_raft_commands_per_entry");
  expect(entries?.count).toBeGreaterThanOrEqual(21);
  expect(entries?.sum).toBeGreaterThanOrEqual(25 + (entries?.count ?? 0) - 21);
  expect(entries?.sum).toBeGreaterThan(entries?.count ?? 0);
  expect(observations.get("trivet_raft_commit_duration_seconds")?.count).toBeGreaterThanOrEqual(21);
  expect(entry.telemetry.counters.get("trivet_raft_forwarded_total")).toBe(10);
  expect(entry.telemetry.observations.get("trivet_raft_read_index_duration_seconds")?.count).toBeGreaterThan(0);
  expect(leader.telemetry.counters.get("trivet_raft_forwarded_total")).toBeUndefined();
  // Without a leader frames are refused before any log.
  expect(entry.telemetry.counters.get("trivet_raft_proposals_failed_total")).toBeUndefined();
  cluster.kill(leader.config.node);
  cluster.kill(followers[1].config.node);
  cluster.run(1_500);
  cluster.begin(entry.config.node, acquire("late", "alice"), { timeoutMs: 10_000 });
  cluster.run(20);
  expect(entry.host.api.status().openCommands).toBe(1);
  cluster.run(3_000);
  expect(entry.telemetry.counters.get("trivet_raft_proposals_failed_total")).toBe(1);
  expect(entry.host.api.status().openCommands).toBe(0);
});
