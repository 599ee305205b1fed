import type { NodeId } from "@trivet/core";
import type { NodeApi, NodeHost, NodeStatus, Unavailable } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scripted, serve, startTestNode, type Server } from "./harness.ts";

let host: NodeHost;
const open: Server[] = [];
beforeAll(async () => {
  ({ host } = await startTestNode());
});
afterAll(async () => {
  for (const server of open) await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
async function withNode(script: Partial<NodeApi>): Promise<Server> {
  const server = await serve(scripted(host.api, script), { settle: false });
  open.push(server);
  return server;
}
const unavailable = (code: Unavailable["code"]): Unavailable => ({ type: "unavailable", code, retryAfterMs: 1_500, detail: "" });

describe("reads without a quorum", () => {
  test("every linearizable read is 503, stale ones go on", async () => {
    const server = await withNode({
      read: (consistency, timeoutMs, done) =>
        consistency === "stale" ? host.api.read("stale", timeoutMs, done) : setImmediate(() => done(unavailable("no_quorum"))),
    });
    for (const path of [
      "/v1/locks/a",
      "/v1/locks",
      "/v1/lock-graph",
      "/v1/sessions",
      "/v1/sessions/1",
      "/v1/locks/a/watch",
      "/lock/a",
      "/locks",
      "/locks/wait_for",
    ]) {
      expect(await server.call("GET", path), path).toMatchObject({ status: 503, json: { code: "no_quorum" } });
    }
    expect(await server.call("POST", "/v1/fences/check", { name: "a", fence: "1" })).toMatchObject({ status: 503 });
    expect(await server.call("POST", "/raft/heartbeat", {})).toMatchObject({ status: 503, json: { success: false } });
    expect(await server.call("GET", "/v1/locks/a?consistency=stale")).toMatchObject({ status: 200 });
    expect(await server.call("GET", "/v1/health/ready")).toMatchObject({
      status: 503,
      json: { code: "not_ready", checks: [{ ok: true }, { ok: true }, { name: "read", ok: false }] },
    });
  });
  test("keepalive and renew without a quorum are 503", async () => {
    const server = await withNode({
      keepAlive: (_sessions, _timeout, done) => setImmediate(() => done(unavailable("no_leader"))),
      renew: (_name, _fence, _timeout, done) => setImmediate(() => done(unavailable("no_leader"))),
    });
    expect(await server.call("PUT", "/v1/sessions/1/keepalive")).toMatchObject({ status: 503 });
    const { json } = await server.call("POST", "/v1/locks/a/acquire", { owner: "o" });
    expect(await server.call("POST", "/v1/locks/a/renew", { fence: json["fence"] })).toMatchObject({ status: 503 });
  });
});

const status = (): NodeStatus => {
  const now = host.api.status();
  const [group] = now.groups;
  if (group === undefined) throw new Error("no group");
  return {
    ...now,
    quorumContactMsAgo: 99_999,
    shardWaits: [],
    groups: [
      {
        ...group,
        role: "pre-candidate",
        leader: "node2" as NodeId,
        membership: { ...group.membership, voters: ["node1", "node2", "node3"] as NodeId[] },
      },
    ],
    peers: [
      {
        node: "node2" as NodeId,
        address: "http://node2:8002",
        connected: false,
        matchIndex: 0,
        lag: 0,
        rttMs: null,
        lastError: "refused",
        lastContactMsAgo: 99_999,
      },
    ],
  };
};

describe("a node that was removed from its cluster", () => {
  const detail = "node1 was removed from the cluster; stop it";
  const removed: Unavailable = { type: "unavailable", code: "removed", retryAfterMs: 1_000, detail };
  test("is alive and not ready, says so, and refuses reads and writes", async () => {
    const server = await withNode({
      status: () => {
        const now = status();
        return { ...now, phase: "removed", phaseDetail: detail, groups: now.groups.map((group) => ({ ...group, leader: null })) };
      },
      read: (_consistency, _timeout, done) => setImmediate(() => done(removed)),
      submit: (_command, _options, done) => {
        setImmediate(() => done(removed));
        return { requestId: "", abandon: () => undefined };
      },
    });
    const refusal = { status: 503, json: { code: "node_removed", detail } };
    expect(await server.call("POST", "/v1/locks/a/acquire", { owner: "x" })).toMatchObject(refusal);
    expect(await server.call("GET", "/v1/locks/a")).toMatchObject(refusal);
    expect(await server.call("POST", "/lock/a?owner=x")).toMatchObject(refusal);
    expect(await server.call("GET", "/v1/health/ready")).toMatchObject({
      status: 503,
      json: { code: "not_ready", reason: expect.stringContaining(`removed: ${detail}`) },
    });
    expect(await server.call("GET", "/health")).toMatchObject({
      status: 503,
      json: { phase: "removed", detail: expect.stringContaining(detail) },
    });
    expect(await server.call("GET", "/v1/raft/status")).toMatchObject({ status: 200, json: { phase: "removed", phase_detail: detail } });
    // A restart would not help: the process is well.
    expect(await server.call("GET", "/v1/health/live")).toMatchObject({ status: 200, json: { phase: "removed" } });
  });
});

describe("a node without leader", () => {
  test("health is 503 no_leader; the leader's old name is not repeated (T-23)", async () => {
    const server = await withNode({ status });
    expect(await server.call("GET", "/health")).toMatchObject({
      status: 503,
      headers: { "retry-after": "1" },
      json: { status: "no_leader", node_id: "node1", leader: null, role: "candidate" },
    });
    expect(await server.call("GET", "/raft/leader")).toMatchObject({ status: 200, json: { leader: null, agreed: false, quorum: false } });
    expect(await server.call("GET", "/v1/raft/status")).toMatchObject({
      status: 200,
      json: {
        role: "candidate",
        leader: null,
        quorum: { needed: 2, reachable: 1, missing: ["node2", "node3"] },
        peers: [{ node: "node2", last_error: "refused" }],
      },
    });
    expect(await server.call("GET", "/v1/cluster")).toMatchObject({
      json: { healthy: false, verdict: expect.stringContaining("have 1 of 2 voters needed. Missing: node2, node3") },
    });
    expect(await server.call("GET", "/v1/health/ready")).toMatchObject({
      status: 503,
      json: { reason: expect.stringContaining("missing: node2, node3") },
    });
    expect(await server.call("GET", "/")).toMatchObject({ status: 200, json: { leader: null, peers: ["http://node2:8002"] } });
    expect(await server.call("GET", "/v1/health/live")).toMatchObject({ status: 200 });
  });
  test("before the cluster is founded everything that needs no quorum answers", async () => {
    const server = await withNode({
      status: () => ({
        ...host.api.status(),
        cluster: null,
        phase: "founding",
        phaseDetail: "waiting for node2",
        groups: [],
        peers: [],
        quorumContactMsAgo: null,
        shardWaits: [],
      }),
      read: (_consistency, _timeout, done) => setImmediate(() => done(unavailable("no_leader"))),
      log: () => [],
    });
    expect(await server.call("GET", "/")).toMatchObject({
      status: 200,
      json: { phase: "founding", cluster_id: null, peers: ["http://node2:8002", "http://node3:8003"] },
    });
    expect(await server.call("GET", "/health")).toMatchObject({ status: 503, json: { detail: "founding: waiting for node2", term: 0 } });
    expect(await server.call("GET", "/v1/raft/status")).toMatchObject({
      status: 200,
      json: { phase: "founding", members: [], groups: [], commit_index: "0" },
    });
    expect(await server.call("GET", "/raft/log")).toMatchObject({ status: 200, json: { log: [] } });
    expect(await server.call("GET", "/metrics")).toMatchObject({ status: 200 });
    expect((await server.call("GET", "/v1/metrics")).text).toContain("locks_held 0");
  });
  test("a failed node is not alive", async () => {
    const server = await withNode({ status: () => ({ ...host.api.status(), phase: "failed", phaseDetail: "writing the log failed" }) });
    expect(await server.call("GET", "/v1/health/live")).toMatchObject({ status: 503, json: { reason: "writing the log failed" } });
  });
});
