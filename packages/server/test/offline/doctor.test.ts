import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NodeConfig } from "../../src/config/index.ts";
import { diagnose } from "../../src/offline/doctor.ts";
import type { Finding } from "../../src/offline/doctor-findings.ts";

type Answers = Readonly<Record<string, readonly [status: number, body: unknown]>>;

let folder: string;
const listening: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-doctor-"));
});
afterEach(() => {
  for (const server of listening.splice(0)) server.close();
  rmSync(folder, { recursive: true });
});

async function takenPort(): Promise<number> {
  const server = createServer();
  listening.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** What is found of one check, by a node of these settings whose calls are answered so. */
async function found(
  check: Finding["check"],
  env: Readonly<Record<string, string>>,
  answers: Answers = {},
  asked: NodeConfig["tls"][] = [],
  clusterUrls: readonly string[] = [],
): Promise<readonly Finding[]> {
  const findings = await diagnose({
    argv: [],
    cwd: folder,
    env: { NODE_ID: "node1", DATA_DIR: join(folder, "data"), LOG_DIR: "off", ...env },
    fetchWith: (tls) => async (input) => {
      asked.push(tls);
      const [, path = ""] = /^https?:\/\/[^/]+(\/.*)$/.exec(input instanceof Request ? input.url : String(input)) ?? [];
      const [status, body] = answers[path] ?? [404, {}];
      return new Response(JSON.stringify(body), { status });
    },
    token: undefined,
    clusterUrls,
    nowMs: () => Date.now(),
  });
  return findings.filter((finding) => finding.check === check);
}

const status = (leader: string | null): Answers => ({ "/v1/raft/status": [200, { node_id: "node2", phase: "running", leader }] });

describe("a cluster that no setting tells of", () => {
  const urls = ["http://127.0.0.1:8001"];

  it("is found where people look for one", async () => {
    expect(await found("cluster", { HTTP_PORT: "0" }, status("node1"), [], urls)).toMatchObject([
      { severity: "ok", what: "node2 at http://127.0.0.1:8001 is running, leader node1" },
    ]);
    expect(await found("cluster", { HTTP_PORT: "0" }, status(null), [], urls)).toMatchObject([{ severity: "warning" }]);
    expect(await found("cluster", { HTTP_PORT: "0" }, {}, [], urls)).toMatchObject([
      { severity: "ok", what: expect.stringContaining("no node answers") },
    ]);
  });

  it("is not looked for where peers are named", async () => {
    const env = { HTTP_PORT: "0", PEERS: "node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002" };
    expect(await found("cluster", env, status("node1"), [], urls)).toEqual([]);
  });
});

describe("the port of a node that runs", () => {
  const refused = [401, { code: "unauthorized" }] as const;

  it("is its own, although it tells its state to nobody without a key", async () => {
    const env = { HTTP_PORT: String(await takenPort()) };
    const live = [200, { status: "ok", node_id: "node1" }] as const;
    expect(await found("port", env, { "/v1/raft/status": refused, "/v1/health/live": live })).toMatchObject([
      { severity: "ok", what: expect.stringContaining("node1 runs at") },
    ]);
  });

  it("is somebody else's where another node answers, and in doubt where nobody is named", async () => {
    const env = { HTTP_PORT: String(await takenPort()) };
    const other = [200, { status: "ok", node_id: "node2" }] as const;
    const failed = [503, { code: "not_ready" }] as const;
    const ofPort = (live: Answers[string]) => found("port", env, { "/v1/raft/status": refused, "/v1/health/live": live });
    expect(await ofPort(other)).toMatchObject([{ severity: "error", what: expect.stringContaining("taken by something else: node2") }]);
    expect(await ofPort(failed)).toMatchObject([{ severity: "warning", next: "set TRIVET_TOKEN or TRIVET_TOKEN_FILE" }]);
    expect(await found("port", env)).toMatchObject([{ severity: "error", what: expect.stringContaining("no node of Trivet") }]);
  });

  it("is asked over HTTPS with the node's own certificate", async () => {
    const asked: NodeConfig["tls"][] = [];
    const status = [200, { node_id: "node1" }] as const;
    const env = { HTTP_PORT: String(await takenPort()), CERT_PATH: "certs" };
    expect(await found("port", env, { "/v1/raft/status": status }, asked)).toMatchObject([
      { severity: "ok", what: expect.stringContaining("https://") },
    ]);
    expect(asked).toMatchObject([{ caFile: join("certs", "ca.crt"), certFile: join("certs", "node1.crt") }]);
  });
});

it("a peer that asks for a key is there: what is to be set is said, not that it is to be started", async () => {
  const env = { HTTP_PORT: "0", PEERS: "node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002" };
  const findings = await found("peers", env, { "/v1/raft/status": [401, {}] });
  expect(findings).toMatchObject([
    { severity: "warning", what: expect.stringContaining("asks for a key"), next: "set TRIVET_TOKEN or TRIVET_TOKEN_FILE" },
  ]);
});

describe("what keeps a node from starting", () => {
  const jwt = { AUTH_MODE: "jwt", JWT_ISSUER: "https://login.example.com/", JWT_AUDIENCE: "trivet" };
  const alone = { HTTP_PORT: "0", CLUSTER_PORT: "0" };

  it("an ACCESS_FILE that is not there, or is not good", async () => {
    const path = join(folder, "access.json");
    const env = { ...alone, AUTH_MODE: "keys", ACCESS_FILE: path };
    expect(await found("access", env)).toMatchObject([
      { severity: "error", what: expect.stringContaining("there is no such file"), next: expect.stringContaining("trivet key create") },
    ]);
    writeFileSync(path, '{"version": 2}');
    expect(await found("access", env)).toMatchObject([{ severity: "error", what: expect.stringContaining(path) }]);
    writeFileSync(path, '{"version": 1, "keys": []}');
    expect(await found("access", env)).toMatchObject([{ severity: "ok" }]);
  });

  it("a JWT_KEYS file that is not there, or holds no public key; an address is not asked", async () => {
    const path = join(folder, "issuer.pem");
    const env = { ...alone, ...jwt, JWT_KEYS: path };
    expect(await found("access", env)).toMatchObject([{ severity: "error", what: expect.stringContaining("ENOENT") }]);
    writeFileSync(path, "none\n");
    expect(await found("access", env)).toMatchObject([{ severity: "error", what: expect.stringContaining("neither PEM nor JSON") }]);
    writeFileSync(path, generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }));
    expect(await found("access", env)).toMatchObject([{ severity: "ok" }]);
    expect(await found("access", { ...env, JWT_KEYS: "https://login.example.com/keys" })).toEqual([]);
  });

  it("a METRICS_PORT that somebody else has; the node that runs has its own", async () => {
    const METRICS_PORT = String(await takenPort());
    expect(await found("port", { ...alone, METRICS_PORT })).toContainEqual(
      expect.objectContaining({ severity: "error", what: expect.stringContaining(METRICS_PORT), next: "set another METRICS_PORT" }),
    );
    const status = [200, { node_id: "node1" }] as const;
    const running = { HTTP_PORT: String(await takenPort()), METRICS_PORT };
    expect(await found("port", running, { "/v1/raft/status": status })).toMatchObject([{ severity: "ok" }]);
  });
});
