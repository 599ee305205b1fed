import { describe, expect, it } from "vitest";
import { durationOf, hostsOf, parseOptions } from "../../src/loadtest/options.ts";
import { progressLine, summaryLines } from "../../src/loadtest/progress.ts";
import { pick, scenarioNames, spread } from "../../src/loadtest/scenarios.ts";
import { Tally } from "../../src/loadtest/tally.ts";
import { timeChart } from "../../src/loadtest/time-chart.ts";

describe("the flags of S4's line", () => {
  const s4 = ["--host=http://localhost:8001", "--users=50", "--spawn-rate=5", "--run-time=5m", "--headless"];

  it("mean what they mean for Locust", () => {
    expect(parseOptions(s4)).toMatchObject({
      hosts: ["http://localhost:8001"],
      users: 50,
      spawnRate: 5,
      runTimeMs: 300_000,
      headless: true,
      scenarios: [],
    });
  });

  it("have defaults: three nodes, a page on 8089", () => {
    expect(parseOptions([])).toMatchObject({
      hosts: ["http://localhost:8001", "http://localhost:8002", "http://localhost:8003"],
      headless: false,
      webPort: 8089,
      runTimeMs: null,
    });
  });

  it.each([
    ["a scenario that does not exist", ["Lock"], /no scenario Lock.*LockStress/],
    ["no users", ["--users=0"], /--users=0/],
    ["a time that is none", ["--run-time=soon"], /--run-time=soon.*1h30m/],
    ["a flag that does not exist", ["--usres=3"], /usres/],
    ["a host that is none", ["--host=http://"], /no address/],
  ])("%s is refused with its reason", (_what, args, reason) => {
    expect(parseOptions(args)).toMatchObject({ wrong: expect.stringMatching(reason) });
  });

  it("times are those of Locust", () => {
    expect(["30s", "5m", "1h30m", "20", "2h"].map(durationOf)).toEqual([30_000, 300_000, 5_400_000, 20_000, 7_200_000]);
  });

  it("a host without a port is the three nodes, several hosts have commas", () => {
    expect(hostsOf("http://localhost")).toHaveLength(3);
    expect(hostsOf("a:1,https://b:2/")).toEqual(["http://a:1", "https://b:2"]);
    expect(hostsOf("http://c:80")).toEqual(["http://c:80"]);
  });
});

const count = (name: string, users: number): number => spread([], users).filter((each) => each === name).length;

describe("users", () => {
  it("are spread over the scenarios by their weights, whatever their number", () => {
    expect([count("General", 12), count("LockStress", 12), count("ThreeNodes", 12)]).toEqual([5, 2, 1]);
    expect(new Set(spread([], 12)).size).toBe(scenarioNames.length);
    expect(spread(["LockStress"], 3)).toEqual(["LockStress", "LockStress", "LockStress"]);
  });

  it("pick their tasks by weight", () => {
    const weighted = [
      [3, "a"],
      [1, "b"],
    ] as const;
    expect([0, 0.74, 0.76, 0.999].map((at) => pick(weighted, () => at))).toEqual(["a", "a", "b", "b"]);
  });
});

/** A tally whose clock a test moves. */
const counted = (): { readonly tally: Tally; readonly clock: { at: number } } => {
  const clock = { at: 0 };
  return { clock, tally: new Tally(() => clock.at) };
};

describe("the tally", () => {
  it("keeps apart what succeeded, what belongs to the work, and what nobody expected", () => {
    const { tally } = counted();
    tally.succeeded("POST /locks/acquire", 2);
    tally.expected("POST /locks/acquire", 423, 1);
    tally.unexpected("POST /locks/acquire", "500 broken", 3);
    tally.unexpected("POST /locks/acquire", "500 broken", 4);
    expect(tally.totals()).toEqual({ succeeded: 1, expected: 1, unexpected: 2 });
    expect(tally.rows("expected")).toMatchObject([{ name: "POST /locks/acquire [423]", count: 1 }]);
    expect(tally.reasons()).toEqual([["POST /locks/acquire: 500 broken", 2]]);
    expect(summaryLines(tally).join("\n")).toMatch(
      /Succeeded\n.*acquire .*1.*\nExpected\n.*\[423\].*\nUnexpected\n.*2.*\n {2}2 × .*500 broken/s,
    );
  });

  it("counts by the second, and begins each anew", () => {
    const { tally } = counted();
    tally.succeeded("GET /health", 5);
    expect(tally.tick(3)).toMatchObject({ at: 1, users: 3, calls: 1, unexpected: 0 });
    tally.unexpected("GET /health", "no answer", 1);
    expect(tally.tick(3)).toMatchObject({ at: 2, calls: 1, unexpected: 1 });
    expect(tally.tick(0)).toMatchObject({ at: 3, calls: 0, p50_ms: null });
  });

  it("knows the longest time without an acknowledged write, the one that lasts included", () => {
    const run = counted();
    expect(run.tally.longestPauseMs()).toBeNull();
    run.clock.at = 100;
    run.tally.succeeded("POST /queue/produce", 1);
    run.clock.at = 900;
    run.tally.succeeded("GET /health", 1);
    run.tally.succeeded("POST /cache/put", 1);
    run.clock.at = 1_000;
    expect(run.tally.longestPauseMs()).toBe(800);
    run.clock.at = 5_000;
    expect(run.tally.longestPauseMs()).toBe(4_100);
  });

  it("does not grow with the number of different reasons", () => {
    const { tally } = counted();
    for (let at = 0; at < 200; at++) tally.unexpected("GET /health", `reason ${at}`, 1);
    expect(tally.reasons().length).toBeLessThanOrEqual(51);
    expect(tally.reasons()[0]).toEqual(["others", 150]);
  });
});

describe("what people see", () => {
  it("a line of progress names the unexpected apart", () => {
    const last = { at: 4, users: 7, calls: 120, expected: 3, unexpected: 1, p50_ms: 1.23, p99_ms: 9.87 };
    const line = progressLine({ state: "running", users: 7, elapsedMs: 4_000, last, succeeded: 400, expected: 9, unexpected: 1 });
    expect(line).toMatch(/4 s +running +7 users +120 calls\/s.*p99 9\.9 ms.*ok 400, expected 9, UNEXPECTED 1$/);
  });

  it("a chart has a line and a name for each series, and none of it is markup", () => {
    const svg = timeChart("<b>", [{ name: "a & b", kind: "first", values: [1, null, 3] }]);
    expect(svg).toContain("&lt;b&gt;");
    expect(svg).toContain("a &amp; b");
    expect(svg.match(/<polyline/g)).toHaveLength(1);
  });
});
