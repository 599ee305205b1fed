import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { freePorts, repository, run, start } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const hasLocust = spawnSync("locust", ["--version"]).error === undefined;
/** The Python that has Locust, for S3's `python -m locust`: Debian's, where another one is first on the PATH. */
const python = ["python3", "/usr/bin/python3"].find((each) => spawnSync(each, ["-c", "import locust"]).status === 0) ?? "python3";
const env = { PYTHONDONTWRITEBYTECODE: "1" };

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
      env,
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

  it("S3's page: a run that is begun there with a host has no failure", async () => {
    const [port = 0] = await freePorts(1);
    const flags = ["-m", "locust", "-f", "benchmarks/load_test_scenarios.py", `--web-port=${port}`, "--web-host=127.0.0.1"];
    const page = start(python, flags, { cwd: repository, env });
    const url = `http://127.0.0.1:${port}`;
    try {
      await waitFor("the page", async () => {
        if (page.hasExited()) throw new Error(page.output());
        return ready((await expectStatus(200, `${url}/`)).text);
      });
      const form = new URLSearchParams({ user_count: "12", spawn_rate: "12", host: cluster.nodes.map((node) => node.url).join(",") });
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      const begun = await expectStatus(200, `${url}/swarm`, { method: "POST", raw: form.toString(), headers });
      expect(begun.body).toMatchObject({ success: true });
      const seen = await waitFor("calls of all users", async () => {
        const { body, text } = await expectStatus(200, `${url}/stats/requests`);
        const total = (body["stats"] as readonly Json[]).find(({ name }) => name === "Aggregated");
        return body["user_count"] === 12 && Number(total?.["num_requests"]) > 200 ? ready(body) : text.slice(0, 500);
      });
      expect(seen).toMatchObject({ state: "running", errors: [], fail_ratio: 0 });
      await expectStatus(200, `${url}/stop`);
    } finally {
      page.signal("SIGKILL");
      await page.exited;
    }
  });

  it("a host without a port, as S3 types it, is the three nodes; one with a port is that node; several have commas between them", async () => {
    const hosts = {
      "http://localhost": ["http://localhost:8001", "http://localhost:8002", "http://localhost:8003"],
      localhost: ["http://localhost:8001", "http://localhost:8002", "http://localhost:8003"],
      "http://localhost:8002": ["http://localhost:8002"],
      "https://a:1,https://b:2": ["https://a:1", "https://b:2"],
    };
    const program = `import json, sys
sys.path.insert(0, "benchmarks")
from load_test_scenarios import hosts_of
print(json.dumps([hosts_of(host) for host in json.loads(sys.argv[1])]))`;
    const { code, output } = await run(python, ["-c", program, JSON.stringify(Object.keys(hosts))], { cwd: repository, env });
    expect(code, output).toBe(0);
    expect(JSON.parse(output)).toEqual(Object.values(hosts));
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
      env,
    });
    expect(code).not.toBe(0);
  });
});
