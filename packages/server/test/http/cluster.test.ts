import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Server } from "./harness.ts";

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
const get = (path: string) => server.call("GET", path);

describe("raft", () => {
  test("status: the asked node, group 0 at top level, indices as strings", async () => {
    const answer = await get("/v1/raft/status");
    expect(answer).toMatchObject({
      status: 200,
      json: {
        node_id: "node1",
        phase: "running",
        role: "leader",
        leader: "node1",
        quorum: { needed: 1, reachable: 1, missing: [] },
        members: [{ node: "node1", kind: "voter", self: true, leader: true, connected: true }],
        groups: [{ group: 0, role: "leader" }],
      },
    });
    expect((answer.json as unknown as { commit_index: unknown }).commit_index).toMatch(/^[0-9]+$/);
  });
  test("leader, members, log", async () => {
    expect((await get("/v1/raft/leader")).json).toMatchObject({ leader: "node1", agreed: true });
    expect((await get("/v1/raft/members")).json).toMatchObject({ members: [{ node: "node1" }], leader: "node1" });
    expect((await get("/v1/raft/log?start=1&end=1")).json).toMatchObject({ log: [{ index: "1" }] });
  });
  test("a snapshot can be taken", async () => {
    expect(await server.call("POST", "/v1/raft/snapshot")).toMatchObject({
      status: 200,
      json: { taken: true, index: expect.stringMatching(/^[0-9]+$/) },
    });
  });
  test("leadership cannot move without another voter", async () => {
    expect(await server.call("POST", "/v1/raft/transfer-leader", { to: "node2" })).toMatchObject({
      status: 409,
      json: { code: "transfer_refused", reason: expect.any(String) },
    });
  });
  test("removing the only voter is refused, an unknown node is 404", async () => {
    expect(await server.call("DELETE", "/v1/raft/members/node1")).toMatchObject({ status: 409, json: { code: "membership_refused" } });
    expect(await server.call("DELETE", "/v1/raft/members/node9")).toMatchObject({ status: 404, json: { code: "member_not_found" } });
  });
  test("the disk of a node that is up, or unknown, cannot be given up", async () => {
    for (const [node, reason] of [
      ["node1", "is up with its disk"],
      ["node9", "is not a member"],
    ]) {
      expect(await server.call("POST", `/v1/raft/members/${node}/replace`)).toMatchObject({
        status: 409,
        json: { code: "membership_refused", reason: expect.stringContaining(reason ?? "") },
      });
    }
  });
  test.each([
    [{ node: "n 4", url: "http://x:1" }, "node"],
    [{ node: "n4" }, "url"],
    [{ node: "n4", url: "ftp://x" }, "url"],
    [{ node: "n4", url: "http://x:1", voter: "yes" }, "voter"],
  ])("a new member %o is refused for %s", async (body, field) => {
    expect(await server.call("POST", "/v1/raft/members", body)).toMatchObject({ status: 400, json: { field } });
  });
});

describe("cluster and health", () => {
  test("one verdict for people", async () => {
    expect((await get("/v1/cluster")).json).toMatchObject({
      healthy: true,
      leader: "node1",
      failure_tolerance: 0,
      roles: ["lock", "queue", "cache"],
      verdict: expect.stringContaining("node1 leads"),
    });
  });
  test("live and ready", async () => {
    expect((await get("/v1/health/live")).json).toMatchObject({ status: "ok", phase: "running" });
    expect((await get("/v1/health/ready?verbose=1")).json).toMatchObject({
      status: "ready",
      checks: [
        { name: "phase", ok: true },
        { name: "leader", ok: true },
        { name: "read", ok: true },
      ],
    });
  });
});

describe("documents", () => {
  test("Swagger UI is served from this node", async () => {
    const page = await get("/docs/");
    expect(page.text).toContain("swagger-ui");
    expect(page.text).toContain("<title>Trivet API</title>");
    // Without TLS a browser that upgrades would show a blank page.
    expect(page.headers["content-security-policy"]).toMatch(/^default-src 'self'/);
    expect(page.headers["content-security-policy"]).not.toContain("upgrade-insecure-requests");
    expect((await get("/docs/json")).json).toMatchObject({ openapi: "3.1.0" });
  });
  test("the OpenAPI document", async () => {
    const answer = await get("/openapi.yaml");
    expect(answer.headers["content-type"]).toContain("application/yaml");
    expect(answer.text).toContain("openapi: 3.1.0");
  });
});

describe("what is not there", () => {
  test("an unknown path is 404, a known path with another method 405 with Allow", async () => {
    expect(await get("/nowhere")).toMatchObject({ status: 404, json: { code: "not_found" } });
    expect(await server.call("PUT", "/v1/locks/a/acquire", {})).toMatchObject({
      status: 405,
      headers: { allow: "POST" },
      json: { code: "method_not_allowed" },
    });
    expect(await server.call("DELETE", "/health")).toMatchObject({ status: 405, headers: { allow: "GET" } });
  });
  test("the stream's path without upgrade is 426", async () => {
    expect(await get("/v1/stream")).toMatchObject({ status: 426, headers: { upgrade: "websocket" } });
  });
  test("HEAD works for what GET serves", async () => {
    const response = await server.http.app.inject({ method: "HEAD", url: "/health" });
    expect(response.statusCode).toBe(200);
    expect(response.body).toBe("");
  });
  test("the request id of the caller comes back, an unfit one is replaced", async () => {
    expect((await server.call("GET", "/health", undefined, { "x-request-id": "abc-1" })).headers["x-request-id"]).toBe("abc-1");
    expect((await server.call("GET", "/health", undefined, { "x-request-id": "a".repeat(200) })).headers["x-request-id"]).toMatch(
      /^[0-9a-f-]{36}$/,
    );
  });
});
