import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ProcessKeeper } from "../benchmarks/src/processes.ts";
import { isMissing, type Result } from "../benchmarks/src/results.ts";
import { subjects } from "../benchmarks/src/subjects/all.ts";
import type { SubjectName } from "../benchmarks/src/subjects/subject.ts";
import { workloads } from "../benchmarks/src/workloads/all.ts";
import type { Effort, RunContext } from "../benchmarks/src/workloads/workload.ts";
import { hasRedis } from "./support/redis.ts";

/** As small as it goes: what is tested is that everything is counted, not how fast it is. */
const effort: Effort = {
  quick: true,
  rounds: 1,
  warmUpMs: 100,
  measureMs: 100,
  failovers: 1,
  soakMs: 1,
  sessions: 1,
  locksPerSession: 1,
  messages: 1000,
  backlogMs: 120_000,
  httpMs: 1000,
  cache: { hits: 1, reads: 1, writes: 1, deaths: 1, staleWrites: 1 },
};

describe("benchmarks of the queues, in their smallest size", () => {
  const keeper = new ProcessKeeper();
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-queue-bench-"));
  });
  afterEach(async () => {
    await keeper.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  async function results(name: string, names: readonly SubjectName[]): Promise<readonly Result[]> {
    const workload = workloads.find((one) => one.name === name);
    if (workload === undefined) throw new Error(`no workload ${name}`);
    const context: RunContext = { run: "test", keeper, effort, memoryMax: null, directory: folder, note: () => {} };
    const found = await workload.run(
      context,
      names.map((subject) => subjects[subject]),
    );
    expect(found.filter(isMissing)).toEqual([]);
    const measured = found.filter((result): result is Result => !isMissing(result));
    expect(measured.map(({ errors, subject }) => [subject, errors])).toEqual(names.map((subject) => [subject, 0]));
    return measured;
  }

  it("queue-backlog: every message is drained, and the nodes are looked at in both steps", async () => {
    const [ours] = await results("queue-backlog", ["trivet"]);
    expect(ours?.more).toMatchObject({
      messages: 1000,
      lost: 0,
      nodes: 3,
      memory_max_bytes: null,
      fill_nodes_died: 0,
      drain_nodes_died: 0,
      fill_unanswered_looks: 0,
    });
    for (const name of [
      "stored_bytes",
      "rss_anon_peak_bytes",
      "restart_to_first_message_ms",
      "fill_longest_gap_ms",
      "drain_longest_gap_ms",
    ])
      expect(ours?.more[name], name).toBeGreaterThan(0);
    for (const name of ["fill_leader_changes", "fill_heartbeats_missed", "fill_longest_loop_delay_ms"])
      expect(ours?.more[name], name).toBeGreaterThanOrEqual(0);
  });

  it.skipIf(!hasRedis)("queue-http: the same calls on nodes with their queues in one Redis, none lost", async () => {
    const found = await results("queue-http", ["trivet-redis-everysec", "trivet-redis-always"]);
    for (const { durability, more, subject } of found) {
      expect(durability).toContain(`appendfsync ${subject.slice("trivet-redis-".length)}`);
      expect(more).toMatchObject({ lost: 0 });
      expect(more["messages_per_s"]).toBeGreaterThan(0);
    }
  });
});
