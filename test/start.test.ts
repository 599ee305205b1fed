import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { isUp, startDev, type Dev } from "./support/dev.ts";
import {
  deadlock,
  greetings,
  healthOfS4,
  locksOfS0,
  locksOfS4,
  metricsAndLocksOfS0,
  monitoringOfS4,
  raftOfS4,
} from "./support/document-checks.ts";
import { call, expectStatus } from "./support/http.ts";
import { repository, run, start, trivet } from "./support/processes.ts";
import { childrenOf, isAlive, runVerbatim } from "./support/shell.ts";
import { ready, waitFor } from "./support/wait.ts";

async function everythingIsGone(pids: readonly number[], dev: Dev): Promise<void> {
  await waitFor("every process to end and every port to be free", async () => {
    const alive = pids.filter(isAlive);
    if (alive.length > 0) return `${alive.join(", ")} still run; ${dev.launcher.output().slice(-2_000)}`;
    for (const [index] of dev.ports.entries()) {
      const answered = await call(dev.url(index), { timeoutMs: 1_000 }).then(
        () => true,
        () => false,
      );
      if (answered) return `${dev.url(index)} still answers`;
    }
    return ready(undefined);
  });
}

describe("npm start on a fresh machine", () => {
  let folder: string;
  let dev: Dev;
  const curl = (command: string): ReturnType<typeof runVerbatim> => runVerbatim(command, dev.mapped, folder);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-start-"));
    // S4's readers copy it first: it describes containers and must not disturb `npm start`.
    copyFileSync(join(repository, "env.example"), join(folder, ".env"));
    dev = await startDev(folder);
    await isUp(dev);
  });
  afterAll(async () => {
    for (const child of childrenOf(dev.launcher.pid)) process.kill(child, "SIGKILL");
    dev.launcher.signal("SIGKILL");
    await dev.launcher.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  it("prints the health of each node, where the API is, and commands to try", () => {
    const output = dev.launcher.output();
    for (const [index, port] of dev.ports.entries()) {
      expect(output).toMatch(new RegExp(`node${index + 1} +http://127\\.0\\.0\\.1:${port} +(?:LEADER|follower) +healthy`));
    }
    expect(output.match(/http:\/\/127\.0\.0\.1:\d+ +LEADER/g)).toHaveLength(1);
    expect(output).toContain(`${dev.url(0)}/docs`);
    expect(output).toMatch(/npx trivet --url http:\/\/localhost:\d+ status/);
    // An election leaves the token that people grep for (L-01).
    expect(output).toMatch(/node[123] +│ .*LEADER/);
  });

  it("ignores the id, ports, peers and Redis of a .env that was copied from a sample, and says so", () => {
    const ignored = /^Not taken from \.env.*: (.*)\.$/m.exec(dev.launcher.output())?.[1]?.split(", ");
    expect(ignored?.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["HTTP_PORT", "NODE_ID", "PEERS", "REDIS_URL"]);
  });

  it("keeps each node's data in data/<id> and its log in logs/", () => {
    for (const id of ["node1", "node2", "node3"]) {
      expect(existsSync(join(folder, "data", id)), `data/${id}`).toBe(true);
      expect(existsSync(join(folder, "logs", `${id}.log`)), `logs/${id}.log`).toBe(true);
      expect(existsSync(join(folder, "logs", `${id}_structured.log`)), `logs/${id}_structured.log`).toBe(true);
    }
  });

  it("answers the checks of S0 verbatim", () =>
    greetings(
      curl,
      dev.ports.map((port, index) => ({ port, url: dev.url(index) })),
    ));

  it("answers the lock commands of S0 verbatim", () => locksOfS0(curl));

  it("shows metrics and all locks as S0 asks for them", () => metricsAndLocksOfS0(curl));

  it("answers the health and monitoring commands of S4 verbatim", async () => {
    await healthOfS4(curl);
    await monitoringOfS4(curl);
  });

  it("answers the lock endpoints of S4", async () => {
    await locksOfS4(curl);
    await raftOfS4(curl);
  });

  it("two owners in a cycle: the second gets 409 with the cycle, and the graph shows who waits", () => deadlock(curl));

  it("is what trivet status shows, in text and JSON", async () => {
    const env = { TRIVET_URL: dev.url(2) };
    const text = await run(process.execPath, [trivet, "status"], { cwd: folder, env });
    expect(text.code, text.output).toBe(0);
    expect(text.output).toMatch(/Healthy: 3 nodes, leader node[123] in term \d+; 1 may fail\./);
    const json = JSON.parse((await run(process.execPath, [trivet, "status", "--json"], { cwd: folder, env })).output) as {
      healthy: boolean;
      nodes: unknown[];
    };
    expect(json.healthy).toBe(true);
    expect(json.nodes).toHaveLength(3);
  });

  it("starts a killed node again, and a lock taken before is still held", async () => {
    const taken = await curl(`curl -X POST "http://localhost:8001/lock/kept?lock_type=exclusive"`);
    const children = childrenOf(dev.launcher.pid);
    expect(children).toHaveLength(3);
    for (const child of children) process.kill(child, "SIGKILL");
    await waitFor("three new processes with a healthy cluster", async () => {
      if (childrenOf(dev.launcher.pid).filter((pid) => !children.includes(pid)).length !== 3) return "not all started again";
      const answers = await Promise.all([0, 1, 2].map((index) => call(`${dev.url(index)}/health`, { timeoutMs: 1_000 })));
      return answers.every((answer) => answer.status === 200) ? ready(true) : "not healthy yet";
    });
    expect(dev.launcher.output()).toMatch(/node1 ended by SIGKILL\. Starting it again/);
    expect((await curl("curl http://localhost:8003/lock/kept")).body).toMatchObject({ status: "held", owners: [taken.body["owner"]] });
  });

  it("refuses a second cluster on the same ports in one line", async () => {
    const second = await run(process.execPath, [trivet, "dev", "--port", String(dev.ports[0]), "--data", "other"], { cwd: folder });
    expect(second.code).toBe(69);
    expect(second.output).toContain(`Ports ${dev.ports.join(", ")} are in use`);
  });
});

describe("the end of npm start", () => {
  let folder: string;
  let dev: Dev;
  let nodes: readonly number[];
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-start-"));
    dev = await startDev(folder);
    await isUp(dev);
    nodes = childrenOf(dev.launcher.pid);
    expect(nodes).toHaveLength(3);
  });
  afterEach(async () => {
    for (const pid of nodes) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    dev.launcher.signal("SIGKILL");
    await dev.launcher.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  it("Ctrl-C, which reaches the whole process group, drains and stops all in order", async () => {
    process.kill(-dev.launcher.pid, "SIGINT");
    expect(await dev.launcher.exited).toEqual({ code: 0, signal: null });
    const stopped = [...dev.launcher.output().matchAll(/^(node\d) stopped\.$/gm)].map((match) => match[1]);
    expect(stopped.toSorted((a = "", b = "") => a.localeCompare(b))).toEqual(["node1", "node2", "node3"]);
    await everythingIsGone(nodes, dev);
  });

  it("SIGTERM to the launcher alone stops all", async () => {
    dev.launcher.signal("SIGTERM");
    expect(await dev.launcher.exited).toEqual({ code: 0, signal: null });
    await everythingIsGone(nodes, dev);
  });

  it("kill -9 of the launcher leaves no orphan behind", async () => {
    dev.launcher.signal("SIGKILL");
    await dev.launcher.exited;
    await everythingIsGone(nodes, dev);
  });

  it("a second start finds the data of the first", async () => {
    await expectStatus(200, `${dev.url(0)}/lock/kept`, { method: "POST" });
    dev.launcher.signal("SIGINT");
    await dev.launcher.exited;
    await everythingIsGone(nodes, dev);
    const again = start(process.execPath, [trivet, "dev", "--port", String(dev.ports[0])], { cwd: folder, ownGroup: true });
    dev = { ...dev, launcher: again };
    await isUp(dev);
    nodes = childrenOf(again.pid);
    expect((await expectStatus(200, `${dev.url(1)}/lock/kept`)).body).toMatchObject({ status: "held" });
  });
});
