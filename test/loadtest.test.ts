import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { call, expectStatus } from "./support/http.ts";
import { freePorts, repository, run, start } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const main = join(repository, "benchmarks", "dist", "loadtest", "main.js");

describe("npm run loadtest", () => {
  let cluster: TestCluster;
  let folder: string;
  let hosts: string;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    hosts = cluster.nodes.map(({ url }) => url).join(",");
    folder = mkdtempSync(join(tmpdir(), "trivet-loadtest-"));
  });
  afterAll(async () => {
    await cluster.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  it("S4's flags: progress, nothing unexpected, and a report with charts and N-01 to N-04", async () => {
    const html = join(folder, "report.html");
    const flags = [`--host=${hosts}`, "--users=24", "--spawn-rate=24", "--run-time=6s", "--headless", `--html=${html}`];
    const { code, output } = await run(process.execPath, [main, ...flags], { cwd: folder });
    expect(output).toMatch(/ s +running +\d+ users +\d+ calls\/s/);
    expect(output).toMatch(/^Unexpected: none$/m);
    expect(output).toMatch(/POST \/locks\/acquire \[423\]/);
    expect(code, output).toBe(0);
    const report = readFileSync(html, "utf8");
    expect(report).toContain("No unexpected outcome");
    for (const id of ["N-01", "N-02", "N-03", "N-04"]) expect(report).toMatch(new RegExp(`${id}: .*(?!none in this run)`));
    expect(report.match(/<svg /g)).toHaveLength(3);
    expect(report).not.toMatch(/none in this run|NaN|undefined/);
    expect(report).not.toMatch(/(?:src|href)="https?:/);
  });

  it("an unexpected outcome fails the run and is told with its reason", async () => {
    const html = join(folder, "failed.html");
    const flags = ["--host=http://127.0.0.1:9", "--users=1", "--run-time=2s", "--headless", `--html=${html}`, "LockStress"];
    const { code, output } = await run(process.execPath, [main, ...flags], { cwd: folder });
    expect(code).toBe(1);
    expect(output).toMatch(/× POST \/locks\/acquire: .*(?:ECONNREFUSED|bad port)/);
    expect(readFileSync(html, "utf8")).toMatch(/unexpected outcomes in/);
  });

  it("wrong flags change nothing and say what is right", async () => {
    const { code, output } = await run(process.execPath, [main, "--users=none", "--headless"], { cwd: folder });
    expect(code).toBe(64);
    expect(output).toMatch(/--users=none.*\n.*--help/);
  });

  it("without --headless there is a page: it begins a run, shows it, ends it, and has its report", async () => {
    const [port = 0] = await freePorts(1);
    const url = `http://127.0.0.1:${port}`;
    const page = start(process.execPath, [main, `--web-port=${port}`, `--host=${hosts}`, "--only-summary"], { cwd: folder });
    try {
      await waitFor("the page", async () => ready((await expectStatus(200, `${url}/`)).text));
      expect((await call(`${url}/report`)).status).toBe(404);
      // What a form of another site could send is not taken.
      const foreign = await call(`${url}/start`, { method: "POST", raw: "users=3", headers: { "content-type": "text/plain" } });
      expect(foreign.status).toBe(400);
      expect((await call(`${url}/start`, { body: { users: "none" } })).text).toMatch(/users=none/);
      await expectStatus(200, `${url}/start`, { body: { users: "3", "spawn-rate": "3" } });
      expect((await call(`${url}/start`, { body: {} })).status).toBe(409);
      await waitFor("calls to be counted", async () => {
        const { body, text } = await expectStatus(200, `${url}/progress`);
        return Number(body["succeeded"]) > 10 && Number(body["users"]) === 3 ? ready(true) : text.slice(0, 300);
      });
      await expectStatus(200, `${url}/stop`, { method: "POST" });
      await waitFor("the run to be over", async () => {
        const { body } = await expectStatus(200, `${url}/progress`);
        return body["state"] === "over" ? ready(true) : JSON.stringify(body["state"]);
      });
      expect((await expectStatus(200, `${url}/report`)).text).toContain("No unexpected outcome");
      page.signal("SIGINT");
      expect((await page.exited).code, page.output()).toBe(0);
    } finally {
      page.signal("SIGKILL");
      await page.exited;
    }
    expect(existsSync(join(folder, ".cache"))).toBe(false);
  });
});
