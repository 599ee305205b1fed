import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type CallOptions, type Json } from "./support/http.ts";
import { freePorts, run, start, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;

describe("hostile requests change nothing", () => {
  let cluster: TestCluster;
  let node: TestNode;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
    node = cluster.node("node1");
  });
  afterAll(() => cluster.destroy());

  const acquire = "/v1/locks/x/acquire";
  const cached = "/v1/cache/x";
  const refused: readonly (readonly [what: string, path: string, options: CallOptions, status: number, code: string])[] = [
    ["no JSON", acquire, { raw: "{owner:" }, 400, "bad_request"],
    ["JSON that is no object", acquire, { raw: '"owner"' }, 400, "bad_request"],
    ["an array", acquire, { raw: "[]" }, 400, "bad_request"],
    ["a number as owner", acquire, { body: { owner: 1 } }, 400, "bad_request"],
    ["an empty owner", acquire, { body: { owner: "" } }, 400, "bad_request"],
    ["an owner that is too long", acquire, { body: { owner: "o".repeat(257) } }, 400, "bad_request"],
    ["an unknown mode", acquire, { body: { owner: "o", mode: "exclusiv" } }, 400, "bad_request"],
    ["an unknown field", acquire, { body: { owner: "o", wiat_ms: 1 } }, 400, "bad_request"],
    ["a wait that is too long", acquire, { body: { owner: "o", wait_ms: 600_001 } }, 400, "bad_request"],
    ["a negative wait", acquire, { body: { owner: "o", wait_ms: -1 } }, 400, "bad_request"],
    ["a fraction of a millisecond", acquire, { body: { owner: "o", ttl_ms: 1_000.5 } }, 400, "bad_request"],
    ["a lease that is too short", acquire, { body: { owner: "o", ttl_ms: 1 } }, 400, "bad_request"],
    ["a fence that is no number", "/v1/locks/x/release", { body: { owner: "o", fence: "1e3" } }, 400, "bad_request"],
    ["a fence above 2^53", "/v1/locks/x/release", { body: { owner: "o", fence: "99999999999999999999" } }, 400, "bad_request"],
    ["a body nested too deep", acquire, { raw: `{"owner":${nested(200_000)}}` }, 400, "bad_request"],
    ["a prototype in disguise", acquire, { raw: '{"owner":"o","__proto__":{"mode":"shared"}}' }, 400, "bad_request"],
    ["a body of more than 1 MiB", acquire, { raw: `{"owner":"${"o".repeat(1_100_000)}"}` }, 413, "payload_too_large"],
    ["a name of more than 512 bytes", `/v1/locks/${"é".repeat(300)}/acquire`, { body: { owner: "o" } }, 400, "bad_request"],
    ["a path that does not exist", "/v1/lokcs", {}, 404, "not_found"],
    ["a method that does not exist", acquire, { method: "DELETE" }, 405, "method_not_allowed"],
    ["S4's acquire without a resource", "/locks/acquire", { body: { owner: "o" } }, 400, "bad_request"],
    ["S0's acquire with an unknown type", "/lock/x?lock_type=huge", { method: "POST" }, 400, "bad_request"],
    ["S4's put without a key", "/cache/put", { body: { value: 1 } }, 400, "bad_request"],
    ["S0's write without a value", "/cache/x", { body: {} }, 400, "bad_request"],
    ["a cached value beside an unknown field", cached, { method: "PUT", body: { value: 1, tll_ms: 5 } }, 400, "bad_request"],
    ["a cached value that is broken JSON", cached, { method: "PUT", raw: '{"value":' }, 400, "bad_request"],
    ["a cached value nested too deep", cached, { method: "PUT", raw: `{"value":${nested(200_000)}}` }, 400, "bad_request"],
    ["a cached value of more than 512 KiB", cached, { method: "PUT", body: { value: "v".repeat(524_288) } }, 413, "payload_too_large"],
    ["a key of more than 512 bytes", `/v1/cache/${"é".repeat(300)}`, { method: "PUT", body: { value: 1 } }, 400, "bad_request"],
    ["an increment by a half", `${cached}/increment`, { body: { by: 0.5 } }, 400, "bad_request"],
    ["headers of more than 16 KiB", acquire, { body: { owner: "o" }, headers: { "x-long": "a".repeat(20_000) } }, 431, "headers_too_large"],
  ];
  it.each(refused)("%s", async (_what, path, options, status, code) => {
    const answer = await node.call(path, options);
    expect(answer.status, answer.text).toBe(status);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    expect(answer.body).toMatchObject({
      code,
      status,
      title: expect.any(String),
      detail: expect.any(String),
      request_id: expect.any(String),
    });
    const { body } = await expectStatus(200, `${node.url}/v1/locks`);
    expect(body).toMatchObject({ locks: [], total: 0 });
    await expectStatus(404, `${node.url}${cached}`);
  });

  it("says which field is wrong and what was expected", async () => {
    const answer = await node.call(acquire, { body: { owner: "o", ttl_ms: "soon" } });
    expect(answer.body).toMatchObject({ code: "bad_request", field: "ttl_ms", expected: expect.stringMatching(/integer|number/) });
  });

  const names = [
    "a/b",
    "item:123",
    "é",
    "空",
    "a b",
    "100%",
    "?&=#",
    "%2e",
    "🔒",
    "__proto__",
    "constructor",
    "n".repeat(512),
    "é".repeat(256),
  ];
  it.each(names)("takes the name %s", async (name) => {
    const path = `/v1/locks/${encodeURIComponent(name)}`;
    const taken = (await expectStatus(200, `${node.url}${path}/acquire`, { body: { owner: "o" } })).body;
    expect(taken["name"]).toBe(name);
    expect((await expectStatus(200, `${node.url}${path}`)).body).toMatchObject({ name, status: "held" });
    await expectStatus(200, `${node.url}/locks/release`, { body: { resource: name, owner: "o" } });
  });

  it.each(names)("takes %s as a key of the cache", async (name) => {
    const path = `/v1/cache/${encodeURIComponent(name)}`;
    await expectStatus(200, `${node.url}${path}`, { method: "PUT", body: { value: name } });
    expect((await expectStatus(200, `${node.url}${path}`)).body).toMatchObject({ key: name, value: name });
    await expectStatus(200, `${node.url}${path}`, { method: "DELETE" });
  });

  it.each([".", ".."])("takes the name %s in a body, where no URL parser can touch it", async (name) => {
    await expectStatus(200, `${node.url}/locks/acquire`, { body: { resource: name, owner: "o" } });
    const { body } = await expectStatus(200, `${node.url}/v1/locks`);
    expect((body["locks"] as readonly Json[]).map((lock) => lock["name"])).toEqual([name]);
    await expectStatus(200, `${node.url}/locks/release`, { body: { resource: name, owner: "o" } });
  });

  it("ends a connection that never sends a request, and serves the others meanwhile", async () => {
    const answer = new Promise<string>((resolve, reject) => {
      const socket = connect(node.port, "127.0.0.1");
      let text = "";
      socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      socket.on("error", reject);
      socket.on("close", () => resolve(text));
    });
    await expectStatus(200, `${node.url}/health`);
    expect(await answer).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe("bad configuration is told in one line", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-config-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const serve = (env: Readonly<Record<string, string>>, args: readonly string[] = []): ReturnType<typeof run> =>
    // As npm and the command's first line do it: without "--", Node would take --env-file for itself.
    run(process.execPath, ["--", trivet, "serve", ...args], { cwd: folder, env: { LOG_DIR: "off", HTTP_PORT: "0", ...env } });

  const cases: readonly (readonly [
    what: string,
    env: Readonly<Record<string, string>>,
    args: readonly string[],
    code: number,
    says: RegExp,
  ])[] = [
    ["JSON that is broken (T-18)", { RAFT_PEERS: '{"node1": "http://a:1",}' }, [], 78, /RAFT_PEERS=.*position \d+.*example/],
    ["an unknown role (T-13)", {}, ["--node-type", "loock"], 64, /loock.*lock, queue, cache/],
    ["an unknown flag", {}, ["--node-tpye", "lock"], 64, /--node-tpye.*did you mean --node-type/],
    ["an --env-file that is not there", {}, ["--env-file", "missing.env"], 78, /missing\.env.*no such file/],
    ["a port that is none", { HTTP_PORT: "eighty" }, [], 78, /HTTP_PORT=eighty.*example/],
    ["two names of one setting that differ (X-07)", { HTTP_PORT: "8001", PORT: "8002" }, [], 78, /config_conflict/],
    ["a MAC key that is too short", { SHARED_MAC_KEY: "short" }, [], 78, /SHARED_MAC_KEY=\*{4}.*16 characters/],
    ["election timeouts below four heartbeats", { RAFT_ELECTION_TIMEOUT_MIN_MS: "100" }, [], 78, /RAFT_ELECTION_TIMEOUT_MIN_MS=100.*200/],
  ];
  it.each(cases)("%s", async (_what, env, args, code, says) => {
    const ended = await serve(env, args);
    expect(ended.output).toMatch(says);
    expect(ended.code, ended.output).toBe(code);
    expect(ended.output).not.toMatch(/^\s+at /m);
    expect(ended.output).not.toContain("short");
  });

  it("a port in use (T-19)", async () => {
    const [port] = await freePorts(1);
    const first = start(process.execPath, [trivet, "serve"], {
      cwd: folder,
      env: { LOG_DIR: "off", HTTP_PORT: String(port), NODE_ID: "a" },
    });
    try {
      await waitFor("the first node to listen", async () => ready((await fetch(`http://127.0.0.1:${port}/`)).status));
      const second = await serve({ HTTP_PORT: String(port), NODE_ID: "b" });
      expect(second.code).not.toBe(0);
      expect(second.output).toMatch(new RegExp(`${port}.*in use`));
      expect(second.output).not.toMatch(/^\s+at /m);
    } finally {
      first.signal("SIGKILL");
      await first.exited;
    }
  });

  it("trivet config check and print tell the same without starting anything", async () => {
    writeFileSync(join(folder, ".env"), "HTTP_PORT=8000\nSHARED_MAC_KEY=0123456789abcdef-very-secret\n");
    const good = await run(process.execPath, [trivet, "config", "check"], { cwd: folder });
    expect(good.code, good.output).toBe(0);
    const bad = await run(process.execPath, [trivet, "config", "check"], { cwd: folder, env: { RAFT_PEERS: "{" } });
    expect(bad.code).toBe(78);
    expect(bad.output).toMatch(/RAFT_PEERS/);
    const printed = await run(process.execPath, [trivet, "config", "print"], { cwd: folder });
    expect(printed.output).toMatch(/HTTP_PORT +8000 +\.env line 1/);
    expect(printed.output).toMatch(/SHARED_MAC_KEY +\*{4}/);
    expect(printed.output).not.toContain("very-secret");
  });
});
