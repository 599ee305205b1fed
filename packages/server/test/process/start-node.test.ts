import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigError, loadConfig, startNode, type NodeConfig, type RunningNode } from "../../src/index.ts";
import { given } from "../config/given.ts";
import { until } from "../http/harness.ts";

let folder: string;
const running: RunningNode[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-node-"));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function config(env: Record<string, string>): NodeConfig {
  return loadConfig(
    given({
      env: { NODE_ID: "node1", HTTP_PORT: "0", DATA_DIR: join(folder, env["NODE_ID"] ?? "node1"), LOG_DIR: join(folder, "logs"), ...env },
    }),
  ).config;
}
async function start(env: Record<string, string> = {}, out: string[] = []): Promise<RunningNode> {
  const node = await startNode(config(env), { write: (text) => void out.push(text), warnings: ["X is not a setting"] });
  running.push(node);
  return node;
}
const healthy = (node: RunningNode): Promise<void> =>
  until(async () => (await fetch(`http://${node.config.http.host}:${node.port}/health`)).status === 200, "health", 30_000);
async function refused(run: Promise<unknown>): Promise<ConfigError> {
  const error = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw error;
  return error;
}
function freePort(host = "127.0.0.1"): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, host, () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/** Asks for the protocol of peers, as a node does; whoever is on this machine could. */
const asPeer = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const asked = request({ port, host: "127.0.0.1", path: "/v1/peer", headers: { connection: "Upgrade", upgrade: "trivet-peer-1" } });
    asked.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode ?? 0);
    });
    asked.on("response", (response) => resolve(response.resume().statusCode ?? 0));
    asked.on("error", reject);
    asked.end();
  });

describe("a node that asks callers who they are", () => {
  const keys = { AUTH_MODE: "keys", API_KEYS: "0123456789abcdef" };

  test("takes no peer that has nothing to prove itself with, also from this machine; it is told and counted", async () => {
    const out: string[] = [];
    const node = await start(keys, out);
    expect(await asPeer(node.port)).toBe(403);
    const metrics = await fetch(`${node.url}/v1/metrics`, { headers: { authorization: "Bearer 0123456789abcdef" } });
    expect(await metrics.text()).toMatch(/peer_refusals_total\{code="unproven"\} 1/);
    expect(out.join("\n")).toMatch(/turned away: A node with AUTH_MODE takes peers with SHARED_MAC_KEY or TLS/);
  });

  test("takes them to the proof where there is a key for it, and without AUTH_MODE as ever", async () => {
    const proven = await start({ ...keys, SHARED_MAC_KEY: "0123456789abcdef" });
    expect(await asPeer(proven.port)).toBe(101);
    const open = await start({ NODE_ID: "node2" });
    expect(await asPeer(open.port)).toBe(101);
  });

  test("writes how long its audit log is where Prometheus finds it", async () => {
    const path = join(folder, "audit.log");
    const node = await start({ AUDIT_LOG: path, AUDIT_KEY: "0123456789abcdef" });
    await until(async () => /^audit_records 1$/m.test(await (await fetch(`${node.url}/v1/metrics`)).text()), "the first record");
  });
});

describe("startNode", () => {
  test("one node: banner at once, LEADER in both logs, locks over real sockets and files, a clean stop and a restart that remembers", async () => {
    const out: string[] = [];
    const node = await start({}, out);
    expect(out[0]).toMatch(/Trivet .* node node1 \(lock, queue, cache\) starts on 127\.0\.0\.1:[0-9]+/);
    expect(out[1]).toContain("X is not a setting");
    const greeting = (await (await fetch(node.url)).json()) as { message: string; port: number };
    expect(greeting).toMatchObject({ message: "Hello from Node node1", port: node.port });
    await healthy(node);
    const acquired = (await (await fetch(`${node.url}/lock/kept?owner=a`, { method: "POST" })).json()) as { fence: string };
    const numbers = await (await fetch(`${node.url}/v1/metrics`)).text();
    for (const name of ["raft_commands_per_entry_count", "raft_proposals_committed_total", "raft_proposals_applied_total"])
      expect(Number(new RegExp(`^${name} (.+)$`, "m").exec(numbers)?.[1]), name).toBeGreaterThan(0);
    expect([...node.metrics.unknown]).toEqual([]);
    await node.stop();
    await node.stop();
    expect(readFileSync(join(folder, "logs/node1.log"), "utf8")).toMatch(/\bLEADER\b/);
    expect(readFileSync(join(folder, "logs/node1_structured.log"), "utf8")).toContain('"raft_role":"LEADER"');
    await expect(fetch(node.url)).rejects.toThrow();

    const again = await start();
    await healthy(again);
    const status = (await (await fetch(`${again.url}/lock/kept`)).json()) as { owners: string[]; fencing_token: string };
    expect(status).toMatchObject({ owners: ["a"], fencing_token: acquired.fence });
  });

  test("a stop answers waiting calls and ends upgraded connections", async () => {
    const node = await start({ SHUTDOWN_TIMEOUT_MS: "3000" });
    await healthy(node);
    await fetch(`${node.url}/lock/held?owner=a`, { method: "POST" });
    const waiting = fetch(`${node.url}/lock/held?owner=b&timeout=600`, { method: "POST" }).then(
      (answer) => answer.status,
      () => "closed",
    );
    await until(async () => (await (await fetch(`${node.url}/lock/held`)).text()).includes('"waiters":["b"]'));
    await node.stop();
    expect([503, 504, "closed"]).toContain(await waiting);
  });

  test("a port in use is one line and exit code 78 (T-19)", async () => {
    const holder: Server = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    try {
      const error = await refused(start({ HTTP_PORT: String(port) }));
      expect(error.exitCode).toBe(78);
      expect(error.message).toBe(`port ${port} on 127.0.0.1 is in use: stop the program that has it, or set another HTTP_PORT`);
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
  });

  test("an address that is not this machine's is one line", async () => {
    const error = await refused(start({ HTTP_HOST: "192.0.2.1", HTTP_PORT: "18099" }));
    expect(error.message).toContain("192.0.2.1 is not an address of this machine");
  });

  test("the data directory of another node, and one that is in use, are refused; the first owner goes on", async () => {
    const first = await start();
    await healthy(first);
    const locked = await refused(start());
    expect(locked.exitCode).toBe(74);
    expect(locked.message).not.toContain("\n");
    await first.stop();
    const foreign = await refused(start({ NODE_ID: "node2", DATA_DIR: join(folder, "node1") }));
    expect(foreign.exitCode).toBe(78);
    expect(foreign.message).toContain("belongs to node node1");
    expect(existsSync(join(folder, "node1"))).toBe(true);
  });
});

describe("three nodes", () => {
  test("peers on their own listener (CLUSTER_PORT) with a shared key; any node takes any call", async () => {
    const clusterPort = await freePort("127.0.0.3");
    const port = await freePort("127.0.0.2");
    const hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    const nodes = await Promise.all(
      hosts.map((host, index) =>
        start({
          NODE_ID: `node${index + 1}`,
          HTTP_HOST: host,
          HTTP_PORT: String(port),
          CLUSTER_PORT: String(clusterPort),
          SHARED_MAC_KEY: "0123456789abcdef0123456789abcdef",
          PEERS: hosts.map((name) => `http://${name}:${port}`).join(","),
          ADVERTISE_URL: `http://${host}:${port}`,
        }),
      ),
    );
    await Promise.all(nodes.map(healthy));
    const [first, second, third] = nodes as [RunningNode, RunningNode, RunningNode];
    const leaders = await Promise.all(
      nodes.map(async (node) => ((await (await fetch(`${node.url}/raft/leader`)).json()) as { leader: string }).leader),
    );
    expect(new Set(leaders).size).toBe(1);
    expect((await fetch(`${first.url}/lock/shared`, { method: "POST" })).status).toBe(200);
    expect((await fetch(`${second.url}/lock/shared`, { method: "POST" })).status).toBe(423);
    expect((await fetch(`${third.url}/lock/shared`, { method: "DELETE" })).status).toBe(200);
    const greeting = (await (await fetch(first.url)).json()) as { peers: string[] };
    expect(greeting.peers).toEqual([`http://127.0.0.2:${port}`, `http://127.0.0.3:${port}`]);
  });
});
