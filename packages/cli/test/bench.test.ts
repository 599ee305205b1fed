import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeCluster } from "../../client/test/fake-cluster.ts";
import { closedLoop } from "../src/bench/closed-loop.ts";
import { Latencies } from "../src/bench/latencies.ts";
import { isLoopback } from "../src/bench/target.ts";
import { cliError, runCli, type Ran } from "./support.ts";

const member = (url: string, kind = "voter"): object => ({
  node: url,
  kind,
  url,
  roles: null,
  self: false,
  leader: false,
  connected: true,
});

describe("trivet bench", () => {
  let fake: FakeCluster;
  beforeEach(async () => {
    fake = await FakeCluster.start(1);
  });
  afterEach(() => fake.stop());

  const bench = (words: readonly string[], members: readonly object[], prompt?: (question: string) => Promise<string>): Promise<Ran> =>
    runCli(
      ["--url", fake.urls.join(","), "bench", ...words],
      () => ({ body: { members, leader: "node1", term: 1 } }),
      prompt === undefined ? {} : { prompt },
    );

  it("locks: says how many and how fast, what an answer means, and leaves none behind", async () => {
    const ran = await bench(
      ["locks", "--seconds", "1", "--in-flight", "4", "--json"],
      [member("http://127.0.0.1:1"), member("http://[::1]:2")],
    );
    expect(ran.error).toBeNull();
    const answer = JSON.parse(ran.stdout) as { figures: Record<string, unknown>[] };
    expect(answer).toMatchObject({ version: 1, kind: "bench", in_flight: 4, seconds: 1, voters: 2, interrupted: false });
    expect(answer.figures).toHaveLength(1);
    const [figure = {}] = answer.figures;
    expect(figure).toMatchObject({
      service: "locks",
      operation: "acquire + release",
      errors: {},
      durability: "on the disks of 2 of 2 nodes",
    });
    const { operations, p50_ms, p99_ms, max_ms } = figure as Record<string, number>;
    const acquired = fake.executed.filter(({ type }) => type === "acquire");
    expect(acquired).toHaveLength(operations ?? 0);
    expect([p50_ms, p99_ms, max_ms]).toEqual([p50_ms, p99_ms, max_ms].toSorted((a = 0, b = 0) => a - b));
    expect(
      acquired.every((command) => command.type === "acquire" && /^trivet-bench-[0-9a-f]{8}\/[0-3]$/.test(command.keys[0]?.name ?? "")),
    ).toBe(true);
    expect([fake.locks.size, fake.sessions.size]).toEqual([0, 0]);
  });

  it("a cluster that is not on the loopback: the host has to be typed, whatever address was asked", async () => {
    const members = [member("http://127.0.0.1:1"), member("http://db-7.example:8001")];
    expect(cliError(await bench(["locks"], members))).toMatchObject({ exitCode: 64, next: "repeat the command with --yes" });
    expect(cliError(await bench(["locks"], members, async () => "yes"))).toMatchObject({ exitCode: 64 });
    expect(fake.node(0).hellos).toHaveLength(0);
    const allowed = await bench(["locks", "--seconds", "1", "--in-flight", "1"], members, async () => "db-7.example");
    expect(allowed.error).toBeNull();
    expect(allowed.stdout).toMatch(/SERVICE +OPERATION +PER SECOND .*AN ANSWER MEANS\nlocks +acquire \+ release +\d+ /);
  });

  it.each([
    ["--seconds", "61"],
    ["--in-flight", "1025"],
    ["--size", "65537"],
    ["--seconds", "0"],
  ])("refuses %s %s", async (option, value) => {
    expect(cliError(await bench(["locks", option, value], []))).toMatchObject({ exitCode: 64 });
    expect(fake.node(0).hellos).toHaveLength(0);
  });

  it("failures are counted by their code, and are the exit code", async () => {
    const free = fake.locks.get.bind(fake.locks);
    fake.locks.get = (name) => (name.endsWith("/0") ? { fence: 1, holder: "another", waiters: [] } : free(name));
    const ran = await bench(["locks", "--seconds", "1", "--in-flight", "2"], [member("http://127.0.0.1:1")]);
    expect(cliError(ran)).toMatchObject({ exitCode: 10, code: "locked", message: "Some operations failed." });
    expect(cliError(ran).why).toMatch(/^acquire \+ release: \d+ locked\nthe first: Lock trivet-bench-\w+\/0 was not granted at once/);
    expect(ran.stdout).toMatch(/\d+ locked +on the disks/);
  });
});

describe("what a bench counts with", () => {
  it("quantiles are at most three per cent too high, and never too low", () => {
    const latencies = new Latencies();
    for (let ms = 1; ms <= 1_000; ms++) latencies.record(ms / 10);
    for (const [fraction, exact] of [
      [0.5, 50],
      [0.99, 99],
      [0.999, 99.9],
    ] as const) {
      expect(latencies.quantileMs(fraction)).toBeGreaterThanOrEqual(exact);
      expect(latencies.quantileMs(fraction)).toBeLessThanOrEqual(exact * 1.03);
    }
    expect([latencies.quantileMs(1), latencies.maxMs, latencies.count]).toEqual([100, 100, 1_000]);
    expect(new Latencies().quantileMs(0.5)).toBe(0);
  });

  const load = { inFlight: 3, seconds: 60, signal: new AbortController().signal, progress: () => {} };

  it("a closed loop has so many under way and no more, and ends with its operations", async () => {
    let [now, most] = [0, 0];
    const measured = await closedLoop({ ...load, most: 10 }, async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return true;
    });
    expect([measured.operations, most]).toEqual([10, 3]);
  });

  it("a closed loop ends when it is told to, or has nothing to do; what is no answer of the cluster is not counted but thrown", async () => {
    const stop = new AbortController();
    const stopped = await closedLoop({ ...load, signal: stop.signal }, async () => {
      stop.abort();
      return true;
    });
    expect(stopped.operations).toBeLessThanOrEqual(3);
    expect((await closedLoop(load, async () => false)).operations).toBe(0);
    await expect(closedLoop(load, () => Promise.reject(new TypeError("a bug")))).rejects.toThrow("a bug");
  });

  it.each([
    ["localhost", true],
    ["127.8.9.1", true],
    ["[::1]", true],
    ["a.localhost", true],
    ["10.0.0.1", false],
    ["127.0.0.1.example.com", false],
    ["[2001:db8::1]", false],
    ["node1", false],
  ])("%s is on the loopback: %s", (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});
