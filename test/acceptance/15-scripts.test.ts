/** Point 15: S4's scripts run what they name, and the documents it names are there. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startCluster, type TestCluster } from "../support/cluster.ts";
import { repository, run } from "../support/processes.ts";

/** The tools of the machine, and nothing else from the test: the scripts are called as people call them. */
const options = (env: Readonly<Record<string, string>> = {}) => ({ cwd: repository, env: { TRIVET_NO_INSTALL: "1", ...env } });

describe("scripts/run_tests.sh", { timeout: 900_000 }, () => {
  it("names its suites, and refuses others", async () => {
    const help = await run("bash", ["scripts/run_tests.sh", "--help"], options());
    expect(help.code, help.output).toBe(0);
    for (const suite of ["comprehensive", "api_endpoints", "lock_manager", "queue", "cache", "unit", "integration", "performance"]) {
      expect(help.output).toContain(suite);
    }
    const unknown = await run("bash", ["scripts/run_tests.sh", "locks"], options());
    expect(unknown.code).toBe(64);
    expect(unknown.output).toMatch(/locks.*lock_manager/s);
  });

  it("runs S4's lock_manager, green, with a plain result line", async () => {
    const { code, output } = await run("bash", ["scripts/run_tests.sh", "lock_manager"], options());
    expect(output).toMatch(/^[1-9]\d* passed, 0 failed$/m);
    expect(code, output.slice(-3_000)).toBe(0);
  });
});

describe("scripts/run_load_tests.sh", { timeout: 600_000 }, () => {
  let cluster: TestCluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    folder = mkdtempSync(join(tmpdir(), "trivet-reports-"));
  });
  afterAll(async () => {
    await cluster.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  it("runs S4's scenarios, here for two seconds each, and leaves a report of each", async () => {
    const hosts = cluster.nodes.map(({ url }) => url).join(",");
    const { code, output } = await run("bash", ["scripts/run_load_tests.sh"], options({ HOST: hosts, RUN_TIME: "2s", REPORTS: folder }));
    expect(code, output.slice(-3_000)).toBe(0);
    for (const name of ["general", "lock-stress", "cache-coherence", "queue-throughput", "three-nodes", "demo"]) {
      expect(existsSync(join(folder, `${name}.html`)), `${name}.html\n${output.slice(-2_000)}`).toBe(true);
    }
  });
});

describe("the documents that S0 and S4 name", () => {
  it("docs/api_spec.yaml is an OpenAPI document with the paths of both", () => {
    const { openapi, paths } = parse(readFileSync(join(repository, "docs/api_spec.yaml"), "utf8")) as {
      openapi: string;
      paths: Readonly<Record<string, unknown>>;
    };
    expect(openapi).toMatch(/^3\.1/);
    for (const path of ["/", "/lock/{name}", "/queue/{queue}", "/cache/{key}", "/locks/acquire", "/queue/produce", "/cache/state"]) {
      expect(Object.keys(paths)).toContain(path);
    }
  });

  it.each(["docs/deployment_guide.md", "docs/architecture.md", "LICENSE", "benchmarks/load_test_scenarios.py"])("%s", (path) => {
    expect(readFileSync(join(repository, path), "utf8").length).toBeGreaterThan(500);
  });
});
