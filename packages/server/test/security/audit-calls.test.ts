import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { routeIds, routeOf } from "@trivet/contract";
import { AuditAnchoring, type NodeApi, type NodeHost } from "@trivet/engine";
import { featureLevels } from "@trivet/wire";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { verifyAudit } from "../../src/security/audit-chain.ts";
import { anchorsOfChains, type ClusterAudit } from "../../src/security/audit-compare.ts";
import type { AuditLog } from "../../src/security/audit-log.ts";
import { rights } from "../../src/security/rights.ts";
import { scripted, serve, type Server, startTestNode, until } from "../http/harness.ts";
import { toolsFor } from "./certs.ts";
import { folder, key, linesOf, marksIn, open, path, said, useFolder, write } from "./audit-support.ts";

useFolder();

const schedule = (ms: number, run: () => void): { cancel: () => void } => {
  const timer = setTimeout(run, ms);
  return { cancel: () => clearTimeout(timer) };
};

const held = async (server: Server, name: string): Promise<unknown> => (await server.call("GET", `/v1/locks/${name}`)).json["status"];

const eventsIn = (): unknown[] => linesOf().map((line) => (JSON.parse(line) as { event: string }).event);

const anchorsAt = async (server: Server): Promise<ClusterAudit> =>
  (await server.call("GET", "/v1/audit/anchors?node=node1")).json as unknown as ClusterAudit;

describe("calls", () => {
  let host: NodeHost;
  const ends: (() => Promise<void> | void)[] = [];
  beforeAll(async () => {
    ({ host } = await startTestNode());
  });
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  afterAll(() => new Promise<void>((resolve) => host.api.stop(resolve)));

  const clock = { now: () => performance.now(), wallNow: () => Date.now(), defer: (run: () => void) => void setImmediate(run) };
  /** A node with an audit log, whose cluster answers as the script says. */
  async function audited(script: Partial<NodeApi> = {}, log = open()): Promise<{ readonly server: Server; readonly log: AuditLog }> {
    const api = scripted(host.api, script);
    const telemetry = { isVerbose: false, observe: () => undefined, ...toolsFor(said) };
    const anchoring = new AuditAnchoring("node1", { api, clock: { ...clock, schedule }, telemetry }, log, 2_000);
    log.anchorWith(anchoring);
    const server = await serve(api, { audit: log });
    ends.push(
      () => log.close(),
      () => anchoring.stop(),
      () => server.http.close(0),
    );
    return { server, log };
  }

  test("that change something are anchored before they are done; the cluster tells of the anchors", async () => {
    const { log, server } = await audited();
    await server.call("POST", "/v1/locks/a/acquire", { owner: "o" });
    const forced = await server.call("POST", "/v1/locks/a/force-release", { reason: "gone" });
    expect(forced.status, forced.text).toBe(200);
    const cluster = await anchorsAt(server);
    expect(cluster).toMatchObject({ anchoring: true, nodes: [{ node: "node1", member: true }] });
    const anchors = anchorsOfChains(cluster).get(log.chain) ?? [];
    const admin = marksIn(linesOf())[eventsIn().indexOf("admin")];
    expect(anchors).toContainEqual(admin);
    const verdict = verifyAudit(key, readFileSync(path, "utf8"), [], anchorsOfChains(cluster));
    expect(verdict).toMatchObject({ ok: true, met: anchors.length });
  });

  test("of which the cluster took no anchor are refused, and nothing is done; what only looks goes on", async () => {
    const { server } = await audited({
      submit: (command, options, done) => {
        if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
        setImmediate(() => done({ type: "unavailable", code: "no_leader", retryAfterMs: 250, detail: "no leader is known to this node" }));
        return { requestId: "", abandon: () => undefined };
      },
    });
    await server.call("POST", "/v1/locks/kept/acquire", { owner: "o" });
    const refused = await server.call("POST", "/v1/locks/kept/force-release", { reason: "x" });
    expect(refused.json).toMatchObject({ status: 503, code: "audit_unanchored", retryable: true, retry_after_ms: 250 });
    expect(refused.json).toMatchObject({ reason: "no-majority", next: expect.stringMatching(/^Bring back the majority/) });
    expect(refused.json.detail).toMatch(
      /audit log of node node1, and the cluster has no anchor of that\. No leader is known to this node\./,
    );
    expect(await held(server, "kept")).toBe("held");
    await until(() => eventsIn().includes("done"), "how it ended");
    expect(linesOf().at(-1)).toMatch(/"event":"done".*"status":503/);
    for (const [method, url] of [
      ["GET", "/v1/raft/log"],
      ["GET", "/raft/log"],
      ["GET", "/v1/sessions"],
      ["GET", "/v1/audit/anchors"],
      ["POST", "/v1/raft/snapshot"],
    ] as const) {
      expect((await server.call(method, url)).status, url).toBe(200);
    }
    expect(eventsIn().filter((event) => event === "admin").length).toBe(6);
    expect(said.counted).toContain("audit_anchor_failures_total unavailable");
  });

  test("that are refused say what helps against what stands in the way", async () => {
    for (const [code, reason, next] of [
      ["storage", "full-disk", /^Free space on the disk of the leader/],
      ["overloaded", "busy", /^Send it again in a moment/],
      ["removed", "no-member", /^Call a node that is a member/],
    ] as const) {
      const { server } = await audited({
        submit: (command, options, done) => {
          if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
          setImmediate(() => done({ type: "unavailable", code, retryAfterMs: 250, detail: "so it is" }));
          return { requestId: "", abandon: () => undefined };
        },
      });
      const { json } = await server.call("POST", "/v1/locks/x/force-release", { reason: "x" });
      expect(json, code).toMatchObject({ code: "audit_unanchored", reason, next: expect.stringMatching(next) });
      for (const end of ends.splice(0).toReversed()) await end();
    }
  });

  test("are refused where the log is not what was anchored, and again until it is moved away", async () => {
    const before = await audited();
    await before.server.call("POST", "/v1/locks/b/acquire", { owner: "o" });
    expect((await before.server.call("POST", "/v1/locks/b/force-release", { reason: "x" })).status).toBe(200);
    await until(() => eventsIn().includes("done"), "how it ended");
    for (const end of ends.splice(0).toReversed()) await end();
    write(linesOf().slice(0, 1));
    // Another record in the place of the one that was cut off.
    const after = await audited();
    await after.server.call("POST", "/v1/locks/b/acquire", { owner: "o" });
    const refused = await after.server.call("POST", "/v1/locks/b/force-release", { reason: "x" });
    expect(refused.json).toMatchObject({ status: 503, code: "audit_mismatch", retryable: false });
    expect(refused.json.detail).toMatch(/cut off, written anew or put back/);
    expect(await held(after.server, "b")).toBe("held");
    expect((await after.server.call("GET", "/v1/audit/anchors")).status).toBe(200);
    expect(said.lines.filter((line) => line.startsWith("error audit.mismatch"))).toHaveLength(1);
    for (const end of ends.splice(0).toReversed()) await end();
    renameSync(path, join(folder, "moved"));
    const anew = await audited();
    expect((await anew.server.call("POST", "/v1/locks/b/force-release", { reason: "x" })).status).toBe(200);
    const cluster = await anchorsAt(anew.server);
    expect(cluster.nodes[0]?.logs.map(({ chain }) => chain)).toContain(after.log.chain);
    expect(anew.log.chain).not.toBe(after.log.chain);
  });

  test("below the level of anchors are done as by the versions that do not know them", async () => {
    const status = host.api.status();
    const { server } = await audited({
      status: () => ({ ...status, features: { ...status.features, cluster: featureLevels.anchors - 1 } }),
      submit: (command, options, done) => {
        if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
        setImmediate(() => done({ type: "unavailable", code: "feature_level", retryAfterMs: 1_000, detail: "it needs feature level 6" }));
        return { requestId: "", abandon: () => undefined };
      },
    });
    await server.call("POST", "/v1/locks/c/acquire", { owner: "o" });
    expect((await server.call("POST", "/v1/locks/c/force-release", { reason: "x" })).status).toBe(200);
    expect(said.lines.some((line) => line.includes("audit log anchor"))).toBe(true);
  });

  test("that pause a queue with its definition stand in the log like those that only pause", async () => {
    const { server } = await audited();
    await server.call("PUT", "/v1/queues/jobs", {});
    await server.call("PATCH", "/v1/queues/jobs", { visibility_ms: 5_000 });
    expect(eventsIn()).not.toContain("admin");
    await server.call("PATCH", "/v1/queues/jobs", { paused: true });
    expect(linesOf().find((line) => line.includes('"event":"admin"'))).toMatch(/"call":"PATCH \/v1\/queues\/jobs"/);
  });
});

test("every path that administers says so in the contract, with what is needed before it is done", () => {
  const inPart = new Set(["putQueue", "patchQueue"]);
  for (const id of routeIds) {
    const { administers } = routeOf(id);
    if (inPart.has(id)) expect(administers, id).toBe("anchored");
    else expect(administers !== undefined, id).toBe(rights[id]?.verb === "admin");
  }
  const recorded = routeIds.filter((id) => routeOf(id).administers === "recorded");
  expect(recorded.toSorted()).toEqual(["auditAnchors", "listSessions", "raftLog", "s4Heartbeat", "s4Log", "takeSnapshot"]);
});
