import type { NodeHost } from "@trivet/engine";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { ConfigError, loadConfig } from "../../src/config/index.ts";
import { given } from "../config/given.ts";
import { TestAccess } from "../security/access.ts";
import { serve, startTestNode, type Server } from "./harness.ts";

async function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

const ask = (at: string, path: string, headers: Record<string, string> = {}): Promise<Response> => fetch(`${at}${path}`, { headers });

describe("METRICS_PORT", () => {
  let host: NodeHost;
  let server: Server;
  let files: TestAccess;
  let url: string;
  let key: string;
  let portless: string;
  beforeAll(async () => {
    ({ host } = await startTestNode());
    files = new TestAccess();
    key = files.add("collector", "reader");
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    server = await serve(host.api, { env: { METRICS_PORT: String(port) }, access: files.open() });
    portless = `http://127.0.0.1:${await server.http.listen()}`;
    await server.http.listenForMetrics();
  });
  afterAll(async () => {
    await server.http.close(0);
    await new Promise<void>((resolve) => host.api.stop(resolve));
    files.remove();
  });
  const mine = (): Record<string, string> => ({ authorization: `Bearer ${key}` });

  test("answers what the API's port answers at /metrics, in both forms", async () => {
    for (const path of ["/v1/metrics", "/metrics?format=prometheus"]) {
      const answer = await ask(url, path, mine());
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await answer.text()).toContain("# TYPE raft_term gauge");
    }
    const json = await ask(url, "/metrics", mine());
    expect(json.headers.get("content-type")).toContain("application/json");
    expect((await ask(portless, "/v1/metrics", mine())).status).toBe(200);
  });

  test("asks for the same key, with the same headers", async () => {
    const refused = await ask(url, "/v1/metrics");
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    expect(refused.headers.get("x-request-id")).not.toBeNull();
    expect(refused.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("answers nothing else: no page of the API, no stream, no other method", async () => {
    for (const path of ["/", "/v1/locks", "/health", "/metrics/", "/docs", "/v1/metrics/x"]) {
      const answer = await ask(url, path, mine());
      expect(answer.status, path).toBe(404);
      expect(await answer.json()).toMatchObject({ code: "not_found", detail: expect.stringContaining("HTTP_PORT") });
    }
    const acquired = await fetch(`${url}/v1/locks/a/acquire`, { method: "POST", headers: mine(), body: "{}" });
    expect(acquired.status).toBe(404);
    expect((await fetch(`${url}/v1/metrics`, { method: "POST", headers: mine(), body: "{}" })).status).toBeGreaterThanOrEqual(400);
    const socket = new WebSocket(`${url.replace("http", "ws")}/v1/stream`);
    await new Promise<void>((resolve) => socket.once("error", () => resolve()));
  });

  test("is closed with the node", async () => {
    const port = await freePort();
    const other = await serve(host.api, { env: { METRICS_PORT: String(port) } });
    await other.http.listen();
    await other.http.listenForMetrics();
    expect((await ask(`http://127.0.0.1:${port}`, "/v1/metrics")).status).toBe(200);
    await other.http.close(0);
    await expect(ask(`http://127.0.0.1:${port}`, "/v1/metrics")).rejects.toThrow();
  });

  test("that is HTTP_PORT is no listener of its own; that of the peers is refused", () => {
    const env = { NODE_ID: "node1", HTTP_PORT: "8001" };
    expect(loadConfig(given({ env: { ...env, METRICS_PORT: "8001" } })).config.metricsPort).toBeNull();
    expect(loadConfig(given({ env: { ...env, METRICS_PORT: "9090" } })).config.metricsPort).toBe(9090);
    expect(() => loadConfig(given({ env: { ...env, METRICS_PORT: "9001", CLUSTER_PORT: "9001" } }))).toThrow(ConfigError);
  });
});
