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
  warmUpMs: 50,
  measureMs: 200,
  failovers: 1,
  soakMs: 1,
  sessions: 1,
  locksPerSession: 1,
  messages: 1,
  backlogMs: 1,
  httpMs: 1,
  cache: { hits: 20_000, reads: 20, writes: 3, deaths: 1, staleWrites: 40 },
};

const more = (of: readonly Result[], subject: SubjectName): Result["more"] => of.find((result) => result.subject === subject)?.more ?? {};
/** Why a workload leaves a subject out; null = it does not. */
const reason = (name: string, subject: SubjectName): string | null | undefined =>
  workloads.find((one) => one.name === name)?.excludes(subjects[subject]);

describe.skipIf(!hasRedis)("benchmarks of the cache, in their smallest size", () => {
  const keeper = new ProcessKeeper();
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-cache-bench-"));
  });
  afterEach(async () => {
    await keeper.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a workload with these subjects, and gives its results; all of them must have some. */
  async function results(name: string, names: readonly SubjectName[]): Promise<readonly Result[]> {
    const workload = workloads.find((one) => one.name === name);
    if (workload === undefined) throw new Error(`no workload ${name}`);
    const some = names.map((subject) => subjects[subject]);
    expect(some.map((subject) => workload.excludes(subject)).filter((reason) => reason !== null)).toEqual([]);
    const context: RunContext = { run: "test", keeper, effort, memoryMax: null, directory: folder, note: () => {} };
    const found = await workload.run(context, some);
    expect(found.filter(isMissing)).toEqual([]);
    const measured = found.filter((result): result is Result => !isMissing(result));
    expect([...new Set(measured.map(({ subject }) => subject))]).toEqual(names);
    for (const { subject, errors, first_error: reason, p50_ms: p50, ops_per_s: rate } of measured) {
      expect([subject, errors, reason]).toEqual([subject, 0, undefined]);
      expect(p50).toBeGreaterThan(0);
      expect(rate).toBeGreaterThan(0);
    }
    return measured;
  }

  it("cache-hit: hits of each kind that a subject has", async () => {
    const found = await results("cache-hit", ["trivet", "lru-cache", "cacheable", "node-redis"]);
    const kinds = found.map(({ subject, transport }) => `${subject} ${transport}`);
    expect(kinds).toEqual([
      "trivet synchronous",
      "trivet promise",
      "lru-cache synchronous",
      "cacheable synchronous",
      "cacheable promise",
      "node-redis promise",
    ]);
  });

  it("cache-read-remote: reads that another process answers, each beside a round trip", async () => {
    const found = await results("cache-read-remote", ["trivet", "redis"]);
    expect(found.filter(({ subject }) => subject === "trivet").map(({ transport }) => transport)).toContain("http");
    for (const { more: figures } of found) expect(figures["round_trip_p50_ms"]).toBeGreaterThan(0);
  });

  it("cache-write: writes with and without sharers, and the first one after a sharer fell silent", async () => {
    const found = await results("cache-write", ["trivet", "node-redis", "redis"]);
    const ours = more(found, "trivet");
    expect(ours["commit_p50_ms"]).toBeGreaterThan(0);
    for (const how of ["killed", "stopped"]) {
      expect(ours[`${how}_first_max_ms`]).toBeGreaterThan(0);
      expect(ours[`${how}_later_max_ms`]).toBeGreaterThan(0);
    }
  });

  it("cache-mixed: reads and writes, and how many reads were hits", async () => {
    const found = await results("cache-mixed", ["trivet", "node-redis", "redis"]);
    expect(more(found, "trivet")["hit_percent"]).toBeGreaterThan(0);
    expect(more(found, "trivet")["write_p50_ms"]).toBeGreaterThan(0);
    expect(more(found, "redis")["hit_percent"]).toBeNull();
  });

  it("cache-stale: none of our reads, healthy or cut off; the peer's are counted the same way, and some are stale", async () => {
    const found = await results("cache-stale", ["trivet", "node-redis"]);
    const { staleWrites } = effort.cache;
    const ours = more(found, "trivet");
    expect(ours).toMatchObject({ reads: staleWrites, stale: 0, cut_reads: staleWrites, cut_stale: 0 });
    // Nor may it be passed by keeping nothing: the reader had copies, also of what was written first after the cut.
    expect(ours["held"]).toBeGreaterThanOrEqual(staleWrites / 2);
    expect(ours["cut_held"]).toBeGreaterThanOrEqual(1);
    // The counter must be able to rise: nothing tells that client that its link is dead.
    expect(more(found, "node-redis")["cut_stale"]).toBeGreaterThan(0);
  });

  it("subjects are left out, with the reason, where a workload makes no sense for them", () => {
    expect(reason("cache-hit", "redis")).toContain("keeps nothing");
    expect(reason("cache-read-remote", "lru-cache")).toContain("no other process");
    expect(reason("cache-mixed", "cacheable")).toContain("own process only");
    expect(reason("cache-stale", "redis")).toContain("no copies");
    for (const name of ["cache-hit", "cache-read-remote", "cache-write", "cache-mixed", "cache-stale"])
      expect(reason(name, "trivet")).toBeNull();
  });
});
