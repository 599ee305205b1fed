import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { isUp, startDev, type Dev } from "./support/dev.ts";
import { call, expectStatus, type Json } from "./support/http.ts";
import { freePorts, repository, run, start, trivet } from "./support/processes.ts";
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

  it("answers the checks of S0 verbatim", async () => {
    for (const [index, command] of [
      "curl http://localhost:8001/",
      "curl http://localhost:8002/",
      "curl http://localhost:8003/",
    ].entries()) {
      const { status, body } = await curl(command);
      expect(status).toBe(200);
      expect(body["message"]).toBe(`Hello from Node node${index + 1}`);
      expect(body["port"]).toBe(dev.ports[index]);
      expect(body["peers"]).toEqual([0, 1, 2].filter((other) => other !== index).map((other) => dev.url(other)));
    }
  });

  it("answers the lock commands of S0 verbatim", async () => {
    const taken = await curl(`# Acquire exclusive lock
curl -X POST "http://localhost:8001/lock/test-lock?lock_type=exclusive"`);
    expect(taken.status).toBe(200);
    expect(taken.body).toMatchObject({ lock_name: "test-lock", lock_type: "exclusive" });
    expect(taken.body["owner"]).toMatch(/^anon-/);

    const held = await curl(`# Check lock status
curl http://localhost:8001/lock/test-lock`);
    expect(held.status).toBe(200);
    expect(held.body).toMatchObject({ lock_name: "test-lock", status: "held", owners: [taken.body["owner"]] });

    const second = await curl(`curl -X POST "http://localhost:8001/lock/test-lock?lock_type=exclusive"`);
    expect(second.status).toBe(423);

    const released = await curl(`# Release lock
curl -X DELETE http://localhost:8001/lock/test-lock`);
    expect(released.status).toBe(200);
    expect((await curl("curl http://localhost:8002/lock/test-lock")).body).toMatchObject({ status: "available" });
  });

  it("shows metrics and all locks as S0 asks for them", async () => {
    const metrics = await curl("curl http://localhost:8001/metrics");
    expect(metrics.status).toBe(200);
    expect(metrics.body).toMatchObject({ cache_hits: expect.any(Number), cache_misses: expect.any(Number) });
    expect(metrics.body["cache_stats"]).toMatchObject({
      size: expect.any(Number),
      maxsize: expect.any(Number),
      states: expect.any(Object),
    });
    const locks = await curl("curl http://localhost:8001/locks");
    expect(locks.status).toBe(200);
    expect(locks.body["locks"]).toEqual({});
  });

  it("answers the health and monitoring commands of S4 verbatim", async () => {
    const leaders = new Set<unknown>();
    for (const port of [8001, 8002, 8003]) {
      const health = await curl(`curl http://localhost:${port}/health`);
      expect(health.status).toBe(200);
      expect(health.body).toMatchObject({ status: "ok", node_id: `node${port - 8000}` });
      const leader = await curl(`curl http://localhost:${port}/raft/leader`);
      expect(leader.status).toBe(200);
      leaders.add(JSON.stringify([leader.body["leader"], leader.body["term"]]));
    }
    expect(leaders.size).toBe(1);
    const prometheus = await curl(`# Prometheus format metrics
curl http://localhost:8001/metrics?format=prometheus`);
    expect(prometheus.status).toBe(200);
    expect(prometheus.text).toMatch(/^# TYPE \w*raft_term gauge$/m);
    expect((await curl("curl http://localhost:8001/locks/wait_for")).body).toMatchObject({ edges: [], cycles: [] });
  });

  it("answers the lock endpoints of S4", async () => {
    const post = (path: string, body: Json): ReturnType<typeof curl> =>
      curl(`curl -X POST http://localhost:8002${path} -H "Content-Type: application/json" -d '${JSON.stringify(body)}'`);
    const taken = await post("/locks/acquire", { resource: "r1", owner: "a", mode: "exclusive" });
    expect(taken.status).toBe(200);
    expect(taken.body).toMatchObject({ success: true });
    expect((await post("/locks/acquire", { resource: "r1", owner: "b", mode: "exclusive" })).status).toBe(423);
    expect((await post("/locks/release", { resource: "r1", owner: "b" })).status).toBe(403);
    expect((await post("/locks/release", { resource: "r1", owner: "a" })).body).toMatchObject({ success: true });
    const { term, leader } = (await curl("curl http://localhost:8001/raft/leader")).body;
    expect((await post("/raft/heartbeat", { leader: leader ?? null, term: term ?? 0 })).status).toBe(200);
    expect((await post("/raft/heartbeat", { leader: "nobody", term: 999_999 })).status).toBe(409);
    expect((await post("/raft/append", { type: "acquire", resource: "r2", owner: "a", mode: "exclusive" })).status).toBe(200);
    const log = await curl(`curl "http://localhost:8002/raft/log?start=-2&end=-1"`);
    expect(JSON.stringify(log.body["log"])).toContain("r2");
    expect((await post("/raft/append", { type: "release", resource: "r2", owner: "a" })).status).toBe(200);
  });

  it("two owners in a cycle: the second gets 409 with the cycle, and the graph shows who waits", async () => {
    const acquire = (index: number, resource: string, owner: string, timeout: number): ReturnType<typeof call> =>
      call(`${dev.url(index)}/locks/acquire`, { body: { resource, owner, mode: "exclusive", timeout }, timeoutMs: 60_000 });
    expect((await acquire(0, "left", "alice", 0)).status).toBe(200);
    expect((await acquire(1, "right", "bob", 0)).status).toBe(200);
    const waiting = acquire(2, "right", "alice", 60);
    await waitFor("alice to wait for bob", async () => {
      const { body } = await expectStatus(200, `${dev.url(1)}/locks/wait_for`);
      return JSON.stringify(body["edges"]) === '[["alice","bob"]]' ? ready(true) : JSON.stringify(body);
    });
    const refused = await acquire(0, "left", "bob", 60);
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({ code: "deadlock", success: false });
    expect(refused.body["cycle"]).toHaveLength(2);
    expect(refused.body["cycle"]).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ owner: "bob", waits_for: "left", held_by: "alice" }),
        expect.objectContaining({ owner: "alice", waits_for: "right", held_by: "bob" }),
      ]),
    );
    const graph = (await expectStatus(200, `${dev.url(2)}/locks/wait_for`)).body;
    expect(graph["edges"]).toEqual([["alice", "bob"]]);
    expect(graph["last_resolutions"]).toEqual(expect.arrayContaining([expect.objectContaining({ victim: "bob" })]));
    await expectStatus(200, `${dev.url(1)}/locks/release`, { body: { resource: "right", owner: "bob" } });
    expect((await waiting).status).toBe(200);
    for (const resource of ["left", "right"])
      await expectStatus(200, `${dev.url(0)}/locks/release`, { body: { resource, owner: "alice" } });
  });

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

describe("one node per terminal, as S0 tells", () => {
  it("npm start with PORT, NODE_ID and ALL_NODES is one node of three", async () => {
    const folder = mkdtempSync(join(tmpdir(), "trivet-terminals-"));
    const ports = await freePorts(3);
    const everyone = ports.map((port) => `http://localhost:${port}`).join(",");
    const terminals = ports.map((port, index) =>
      start(process.execPath, [join(repository, "scripts", "start.mjs")], {
        cwd: folder,
        env: { PORT: String(port), NODE_ID: `node${index + 1}`, ALL_NODES: everyone, REDIS_HOST: "localhost" },
      }),
    );
    try {
      for (const [index, port] of ports.entries()) {
        await waitFor(`node${index + 1} to be healthy`, async () => {
          if (terminals[index]?.hasExited()) throw new Error(`it ended:\n${terminals[index].output()}`);
          const answer = await call(`http://localhost:${port}/health`, { timeoutMs: 1_000 });
          return answer.status === 200 ? ready(true) : answer.text;
        });
        const { body } = await expectStatus(200, `http://localhost:${port}/`);
        expect(body).toMatchObject({ message: `Hello from Node node${index + 1}`, port });
        expect(body["peers"]).toHaveLength(2);
      }
      expect(terminals[0]?.output()).toContain("One node, because NODE_ID and ALL_NODES are set");
    } finally {
      for (const terminal of terminals) terminal.signal("SIGKILL");
      await Promise.all(terminals.map((terminal) => terminal.exited));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
