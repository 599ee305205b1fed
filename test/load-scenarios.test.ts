import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { repository, run } from "./support/processes.ts";

const hasLocust = spawnSync("locust", ["--version"]).error === undefined;

describe.skipIf(!hasLocust)("the scenarios under Locust (S3, S4)", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll(() => cluster.destroy());

  it("S4's command line, with fewer users for a shorter time: no unexpected outcome in any of the five", async () => {
    const hosts = cluster.nodes.map(({ url }) => url).join(",");
    const flags = [`--host=${hosts}`, "--users=24", "--spawn-rate=24", "--run-time=8s", "--headless", "--only-summary"];
    const { code, output } = await run("locust", ["-f", "benchmarks/load_test_scenarios.py", ...flags], {
      cwd: repository,
      env: { PYTHONDONTWRITEBYTECODE: "1" },
    });
    expect(output).toMatch(/Aggregated .* 0\(0\.00%\)/);
    expect(code).toBe(0);
    for (const name of [
      "/locks/acquire",
      "/locks/acquire [423]",
      "/locks/release",
      "/queue/produce",
      "/queue/consume",
      "/queue/ack",
      "/cache/get",
      "/cache/put",
      "/health",
    ]) {
      expect(output).toContain(name);
    }
  });

  it("an unexpected outcome fails the run", async () => {
    const flags = [
      "--host=http://127.0.0.1:9",
      "--users=1",
      "--spawn-rate=1",
      "--run-time=2s",
      "--headless",
      "--only-summary",
      "LockStress",
    ];
    const { code } = await run("locust", ["-f", "benchmarks/load_test_scenarios.py", ...flags], {
      cwd: repository,
      env: { PYTHONDONTWRITEBYTECODE: "1" },
    });
    expect(code).not.toBe(0);
  });
});
