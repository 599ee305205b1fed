import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Histogram } from "../src/driver/histogram.ts";
import { messageBytes } from "../src/driver/message.ts";
import { majorityOfThree } from "../src/floor/majority.ts";
import { commandBytes, decodeProgress, encodeProgress } from "../src/floor/protocol.ts";
import { ProcessKeeper } from "../src/processes.ts";
import { floor } from "../src/subjects/floor.ts";
import { lockFailover } from "../src/workloads/lock-failover.ts";
import { withSubject, type Bench, type RunContext } from "../src/workloads/workload.ts";

const shortEffort = {
  quick: true,
  rounds: 1,
  warmUpMs: 1,
  measureMs: 200,
  failovers: 1,
  soakMs: 1,
  sessions: 1,
  locksPerSession: 1,
  messages: 1,
  backlogMs: 1,
  httpMs: 1,
  cache: { hits: 1, reads: 1, writes: 1, deaths: 1, staleWrites: 1 },
};

describe("the floor's majority", () => {
  it("is the middle of three", () => {
    const orders: readonly (readonly [number, number, number])[] = [
      [1, 2, 3],
      [1, 3, 2],
      [2, 1, 3],
      [2, 3, 1],
      [3, 1, 2],
      [3, 2, 1],
    ];
    for (const [a, b, c] of orders) expect(majorityOfThree(a, b, c)).toBe(2);
    expect(majorityOfThree(5, 5, 0)).toBe(5);
    expect(majorityOfThree(5, 0, 0)).toBe(0);
  });

  it("travels as a number of commands", () => {
    expect(decodeProgress(encodeProgress(2 ** 40 + 1))).toBe(2 ** 40 + 1);
  });
});

async function measured(bench: Bench): Promise<void> {
  const client = await bench.queueClient();
  const result = await client.call("produceClosed", { queue: "q", callers: 4, durationMs: 200 }, 20_000);
  expect(result.errors).toBe(0);
  expect(result.completed).toBeGreaterThan(0);
  const logs = readdirSync(bench.directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".wal"));
  const records = logs.map((name) => statSync(join(bench.directory, name)).size / messageBytes);
  expect(records.every(Number.isInteger)).toBe(true);
  expect(majorityOfThree(records[0] ?? 0, records[1] ?? 0, records[2] ?? 0)).toBeGreaterThanOrEqual(result.completed);
}

describe("the floor as four processes", () => {
  let folder = "";
  const keeper = new ProcessKeeper();
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-floor-"));
  });
  afterEach(async () => {
    await keeper.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  it("answers every command once it is in the logs of a majority, and leaves no process behind", async () => {
    const context: RunContext = { run: "test", keeper, effort: shortEffort, memoryMax: null, directory: folder, note: () => {} };
    const pids: number[] = [];
    await withSubject(context, floor, async ({ running, client: connect, cost, directory }) => {
      const client = await connect();
      pids.push(client.pid, ...running.nodes.map(({ pid }) => pid));
      const { result, cost: spent } = await cost(client, () => client.call("closed", { callers: 4, durationMs: 200, prefix: "t" }, 20_000));
      expect(result.errors).toBe(0);
      expect(result.pairs).toBeGreaterThan(0);
      expect(Histogram.from(result.acquire).count).toBeGreaterThanOrEqual(result.pairs);
      expect(spent.fsyncs).toBeGreaterThan(0);
      const contended = await client.call("handOff", { callers: 4, durationMs: 100, name: "one" }, 20_000);
      expect(contended).toMatchObject({ errors: 0, own_again: 0 });
      const logs = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".wal"));
      const sizes = logs.map((name) => statSync(join(directory, name)).size / commandBytes);
      expect(sizes).toHaveLength(3);
      const committed = majorityOfThree(sizes[0] ?? 0, sizes[1] ?? 0, sizes[2] ?? 0);
      expect(committed).toBeGreaterThanOrEqual(result.pairs * 2);
    });
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  it("takes records of a message's size and answers each once", async () => {
    const context: RunContext = { run: "test", keeper, effort: shortEffort, memoryMax: null, directory: folder, note: () => {} };
    await withSubject(context, floor, measured, { recordBytes: messageBytes });
  });

  it("is left out of workloads that need what it does not have, with the reason", () => {
    expect(lockFailover.excludes(floor)).toContain("no fail-over");
  });
});
