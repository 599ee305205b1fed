import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMetricName, metricNames, metricOf } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LoopLag } from "../../src/observability/loop-lag.ts";
import { Metrics } from "../../src/observability/metrics.ts";
import { collectSystemMetrics, diskBytes, networkBytes } from "../../src/observability/system-metrics.ts";
import { serve, startTestNode, until, type Server } from "../http/harness.ts";
import { checkHistogram, parsePrometheus } from "./prometheus.ts";

const files = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => (statSync(join(folder, name)).isDirectory() ? files(join(folder, name)) : [join(folder, name)]));

describe("families", () => {
  test("the text has exactly the contract's families, with type and help, and is valid", async () => {
    const metrics = new Metrics();
    const lag = new LoopLag();
    collectSystemMetrics(metrics, "0.1.0", lag);
    for (let fired = 0; fired < 98; fired += 1) lag.late(0);
    for (const ms of [20, 50]) lag.late(ms);
    metrics.count("http_requests_total", 1, { route: 'a"b\\c\nd', method: "GET", status: "200" });
    metrics.observe("http_request_duration_seconds", 0.2, { route: "x", method: "GET" });
    const families = parsePrometheus(await metrics.text());
    expect([...families.keys()].sort()).toEqual([...metricNames].sort());
    for (const [name, family] of families) {
      if (!isMetricName(name)) throw new Error(name);
      expect(family.type, name).toBe(metricOf(name).kind);
      expect(family.help, name).toBe(metricOf(name).help);
      if (family.type === "histogram") checkHistogram(name, family);
    }
    expect(families.get("build_info")?.samples[0]).toMatchObject({ labels: { version: "0.1.0", node_version: process.version }, value: 1 });
    expect(families.get("process_cpu_seconds_total")?.samples[0]?.value).toBeGreaterThan(0);
    expect(families.get("process_resident_memory_bytes")?.samples[0]?.value).toBeGreaterThan(1_000_000);
    expect(families.get("nodejs_eventloop_lag_p99_seconds")?.samples[0]?.value).toBeCloseTo(0.02, 3);
    expect(families.get("nodejs_eventloop_lag_max_seconds")?.samples[0]?.value).toBeCloseTo(0.05, 3);
    // Of each stretch between two scrapes.
    expect(parsePrometheus(await metrics.text()).get("nodejs_eventloop_lag_max_seconds")?.samples[0]?.value).toBe(0);
  });
  test("a counter kept elsewhere does not grow by being scraped", async () => {
    const metrics = new Metrics();
    metrics.onCollect(() => metrics.total("process_cpu_seconds_total", 5));
    await metrics.text();
    expect(parsePrometheus(await metrics.text()).get("process_cpu_seconds_total")?.samples[0]?.value).toBe(5);
  });
  test("labels that a family does not have are left out, missing ones are empty, nonsense does not throw", async () => {
    const metrics = new Metrics();
    metrics.count("lock_grants_total", 1, { mode: "shared", name: "orders/42" });
    metrics.count("lock_grants_total", 1);
    metrics.count("lock_grants_total", -1);
    metrics.observe("lock_acquire_duration_seconds", Number.NaN);
    metrics.count("no_such_metric", 1);
    const text = await metrics.text();
    expect(text).not.toContain("orders/42");
    expect(parsePrometheus(text).get("lock_grants_total")?.samples).toEqual([
      { name: "lock_grants_total", labels: { mode: "shared" }, value: 1 },
      { name: "lock_grants_total", labels: { mode: "" }, value: 1 },
    ]);
    expect([...metrics.unknown]).toEqual(["no_such_metric"]);
  });
  test("every metric that the engine and the server count is in the contract", () => {
    const root = fileURLToPath(new URL("../../../", import.meta.url));
    const names = new Set<string>();
    for (const file of [...files(join(root, "engine/src")), ...files(join(root, "server/src"))]) {
      for (const match of readFileSync(file, "utf8").matchAll(/\.(?:count|observe)\(\s*"([a-z0-9_]+)"/g)) names.add(match[1] ?? "");
    }
    expect(names.size).toBeGreaterThan(10);
    expect([...names].filter((name) => !isMetricName(name.replace(/^trivet_/, "")))).toEqual([]);
  });
  test("the interfaces of the machine are read, loopback aside", () => {
    const table =
      "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n  eth1:7 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0\n";
    expect(networkBytes(() => table)).toEqual({ received: 107, sent: 53 });
    expect(
      networkBytes(() => {
        throw new Error("no such file");
      }),
    ).toEqual({ received: 0, sent: 0 });
  });
});

test("the disk traffic of the process is read", () => {
  expect(diskBytes(() => "rchar: 9\nwchar: 8\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 7\n")).toEqual({
    read_bytes: 4_096,
    written_bytes: 8_192,
  });
  expect(
    diskBytes(() => {
      throw new Error("no such file");
    }),
  ).toEqual({ read_bytes: 0, written_bytes: 0 });
});

describe("of a running node", () => {
  let host: NodeHost;
  let server: Server;
  beforeAll(async () => {
    ({ host } = await startTestNode());
    server = await serve(host.api);
  });
  afterAll(async () => {
    await server.http.close(0);
    await new Promise<void>((resolve) => host.api.stop(resolve));
  });
  const sample = async (name: string, labels: Record<string, string> = {}): Promise<number | undefined> =>
    parsePrometheus(await server.metrics.text())
      .get(name)
      ?.samples.find((candidate) => Object.entries(labels).every(([key, value]) => candidate.labels[key] === value))?.value;

  test("locks, sessions, deadlocks and Raft are counted as they happen", async () => {
    await server.call("POST", "/v1/locks/m1/acquire", { owner: "a" });
    await server.call("POST", "/v1/locks/m2/acquire", { owner: "b" });
    await server.call("POST", "/v1/sessions", {});
    const waiting = server.call("POST", "/v1/locks/m2/acquire", { owner: "a", wait_ms: 20_000 });
    await until(async () => (await sample("lock_waiters")) === 1);
    await server.call("POST", "/v1/locks/m1/acquire", { owner: "b", wait_ms: 20_000 });
    await server.call("POST", "/v1/locks/m2/release", { owner: "b" });
    await waiting;
    await server.call("POST", "/v1/locks/m2/release", { owner: "a", fence: "1" });
    expect(await sample("locks_held")).toBe(2);
    expect(await sample("lock_waiters")).toBe(0);
    expect(await sample("sessions_open")).toBe(1);
    expect(await sample("lock_deadlocks_total")).toBe(1);
    expect(await sample("lock_grants_total", { mode: "exclusive" })).toBe(3);
    expect(await sample("stale_token_rejected_total")).toBe(1);
    expect(await sample("lock_acquire_duration_seconds", { mode: "exclusive", outcome: "deadlock" })).toBeDefined();
    expect(await sample("raft_is_leader", { group: "0" })).toBe(1);
    expect(await sample("raft_members", { kind: "voter" })).toBe(1);
    expect(await sample("http_requests_total", { route: "/v1/locks/:name/acquire", method: "POST", status: "200" })).toBeGreaterThanOrEqual(
      3,
    );
  });

  test("no name, owner or key ever is a label", async () => {
    await server.call("POST", "/v1/locks/very-secret-name/acquire", { owner: "very-secret-owner" });
    expect(await server.metrics.text()).not.toMatch(/very-secret/);
  });

  test("the JSON of /metrics has the numbers of S4's families", async () => {
    const { json } = await server.call("GET", "/metrics");
    expect(json).toMatchObject({
      locks: { held: 3, waiting: 0, sessions: 1, deadlocks: 1 },
      raft: { role: "leader" },
      system: {
        cpu: { count: expect.any(Number), seconds: { idle: expect.any(Number) } },
        memory: {},
        network: {},
        disk: { written_bytes: expect.any(Number) },
      },
      metrics: { locks_held: 3 },
    });
  });
});
