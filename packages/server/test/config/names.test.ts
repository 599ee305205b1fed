import { settingNames, settingOf } from "@trivet/contract";
import { describe, expect, test } from "vitest";
import { loadConfig, reportConfig } from "../../src/config/index.ts";
import { given } from "./given.ts";

describe("names of the source documents", () => {
  test.each([
    ["S0 PORT", { PORT: "8001" }, { http: { port: 8001 } }],
    ["S1 NODE_PORT", { NODE_PORT: "8001" }, { http: { port: 8001 } }],
    ["S2 INTERNAL_PORT", { INTERNAL_PORT: "8000" }, { http: { port: 8000 } }],
    ["S4 HTTP_PORT", { HTTP_PORT: "8000" }, { http: { port: 8000 } }],
    ["S1 NODE_TYPE", { NODE_TYPE: "lock" }, { roles: ["lock"] }],
    ["S3 NODE_TYPE of its programs", { NODE_TYPE: "queue_node" }, { roles: ["queue"] }],
    ["S1 PEER_ADDRESSES", { PEER_ADDRESSES: "http://b:8002" }, { peers: [{ url: "http://b:8002" }] }],
    ["S0 ALL_NODES", { ALL_NODES: "http://a:1,http://b:2" }, { peers: [{ url: "http://a:1" }, { url: "http://b:2" }] }],
    ["S4 PEERS", { PEERS: "node1,node2", HTTP_PORT: "8000" }, { peers: [{ id: "node1", url: "http://node1:8000" }, { id: "node2" }] }],
    ["S3 RAFT_PEERS", { RAFT_PEERS: '{"node1":"http://node1:8001"}' }, { peers: [{ id: "node1", url: "http://node1:8001" }] }],
    [
      "S4 HEARTBEAT_INTERVAL",
      { HEARTBEAT_INTERVAL: "0.5", HEARTBEAT_TIMEOUT: "2.0" },
      { failureDetector: { intervalMs: 500, timeoutMs: 2_000 } },
    ],
    ["S4 LOG_LEVEL in Python's spelling", { LOG_LEVEL: "WARNING" }, { log: { level: "warn" } }],
    ["S4 CACHE_CAPACITY", { CACHE_CAPACITY: "100" }, { cache: { capacity: 100 } }],
    ["S3 CACHE_MAX_SIZE", { CACHE_MAX_SIZE: "100" }, { cache: { capacity: 100 } }],
    ["S4 ENABLE_METRICS", { ENABLE_METRICS: "false" }, { metricsEnabled: false }],
    ["NODE_ROLE", { NODE_ROLE: "cache" }, { roles: ["cache"] }],
    ["NODE_HOST", { NODE_HOST: "0.0.0.0" }, { http: { host: "0.0.0.0" } }],
    ["SELF_URL", { SELF_URL: "http://a:1" }, { advertiseUrl: "http://a:1" }],
    ["ADVERTISE_HOST has the API's port", { ADVERTISE_HOST: "a", HTTP_PORT: "8001" }, { advertiseUrl: "http://a:8001" }],
    ["ADVERTISE_HOST as an IPv6 address", { ADVERTISE_HOST: "fd00::1", HTTP_PORT: "8001" }, { advertiseUrl: "http://[fd00::1]:8001" }],
    ["CLUSTER_NODES", { CLUSTER_NODES: "http://a:1" }, { peers: [{ url: "http://a:1" }] }],
    ["RAFT_HEARTBEAT_INTERVAL in seconds", { RAFT_HEARTBEAT_INTERVAL: "0.06" }, { raft: { heartbeatMs: 60 } }],
    ["RAFT_HEARTBEAT_INTERVAL in milliseconds", { RAFT_HEARTBEAT_INTERVAL: "60" }, { raft: { heartbeatMs: 60 } }],
    [
      "S0's timers under their bare names",
      { RAFT_HEARTBEAT_INTERVAL: "1.0", ELECTION_TIMEOUT_MIN: "5.0", ELECTION_TIMEOUT_MAX: "10.0" },
      { raft: { heartbeatMs: 1_000, electionMinMs: 5_000, electionMaxMs: 10_000 } },
    ],
    ["RAFT_DATA_DIR", { RAFT_DATA_DIR: "/d" }, { storage: { dataDir: "/d" } }],
    ["LOCK_DEFAULT_TTL in seconds", { LOCK_DEFAULT_TTL: "30" }, { locks: { defaultTtlMs: 30_000 } }],
    ["REQUEST_TIMEOUT in seconds", { REQUEST_TIMEOUT: "2.5" }, { http: { requestTimeoutMs: 2_500 } }],
    ["QUEUE_ACK_TIMEOUT in seconds", { QUEUE_ACK_TIMEOUT: "45" }, { queues: { visibilityMs: 45_000 } }],
    ["CACHE_SIZE", { CACHE_SIZE: "7" }, { cache: { capacity: 7 } }],
    ["METRICS_ENABLED", { METRICS_ENABLED: "false" }, { metricsEnabled: false }],
    ["NODE_SECRET", { NODE_SECRET: "0123456789abcdef" }, { macKey: "0123456789abcdef" }],
    ["LOG_FILE says the folder", { LOG_FILE: "/var/log/trivet/node1.log" }, { log: { dir: "/var/log/trivet" } }],
    ["LOG_FILE without a folder", { LOG_FILE: "node1.log" }, { log: { dir: "." } }],
    ["S2 SHARED_MAC_KEY", { SHARED_MAC_KEY: "0123456789abcdef" }, { macKey: "0123456789abcdef" }],
  ])("%s", (_name, env, expected) => {
    expect(loadConfig(given({ env })).config).toMatchObject(expected);
  });

  test("every alias in the table is read", () => {
    let checked = 0;
    for (const name of settingNames) {
      for (const alias of settingOf(name).aliases ?? []) {
        const special = alias.unit === undefined ? (alias.holds === "host" ? "a" : null) : "5";
        const value = special ?? Object.keys(alias.values ?? {})[0] ?? settingOf(name).example;
        const input = alias.filesOnly === true ? { files: { ".env": `${alias.name}=${value}` } } : { env: { [alias.name]: value } };
        const row = reportConfig(given(input)).rows.find((candidate) => candidate.name === name);
        expect(row, alias.name).toMatchObject({ source: alias.filesOnly ? ".env line 1" : "environment", writtenAs: alias.name });
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(30);
  });

  test("a bare timer is said to be understood as seconds or milliseconds, a canonical one is not", () => {
    const timers = { RAFT_HEARTBEAT_INTERVAL: "0.05", RAFT_ELECTION_TIMEOUT_MIN: "400" };
    expect(loadConfig(given({ env: timers })).warnings).toEqual([
      "RAFT_HEARTBEAT_INTERVAL=0.05 (environment) is understood as 50 ms, because below 20 it counts as seconds; RAFT_HEARTBEAT_INTERVAL_MS says it exactly",
      "RAFT_ELECTION_TIMEOUT_MIN=400 (environment) is understood as 400 ms, because below 20 it counts as seconds; RAFT_ELECTION_TIMEOUT_MIN_MS says it exactly",
    ]);
    expect(loadConfig(given({ env: { RAFT_HEARTBEAT_INTERVAL_MS: "50" } })).warnings).toEqual([]);
  });

  test("what shells and other programs export under one of our aliases does not count; in a file it does", () => {
    const names = { HOST: "box.example", API_KEY: "somebody-elses" };
    const report = reportConfig(given({ env: names }));
    expect(report.rows.filter(({ source }) => source !== "default")).toEqual([]);
    expect(report.warnings).toEqual([]);
    expect(loadConfig(given({ files: { ".env": "HOST=0.0.0.0" } })).config.http.host).toBe("0.0.0.0");
  });

  test("the whole .env of S4 is accepted", () => {
    const env =
      "NODE_ID=node1\nPEERS=node1,node2,node3\nHTTP_PORT=8000\nREDIS_URL=redis://redis:6379/0\nCACHE_CAPACITY=100\nENABLE_METRICS=true\nLOG_LEVEL=INFO\nHEARTBEAT_INTERVAL=1.0\nHEARTBEAT_TIMEOUT=3.0\nDEADLOCK_CHECK_INTERVAL=5.0\nQUEUE_PERSISTENCE=true\nQUEUE_BACKUP_INTERVAL=60\nENABLE_ENCRYPTION=false\nCERT_PATH=/certs/\nLOG_FORMAT=json\nMETRICS_PORT=9090\nDOCKER_ENV=1\n";
    const { config, warnings } = loadConfig(given({ files: { ".env": env } }));
    expect(config).toMatchObject({ nodeId: "node1", self: { id: "node1" }, advertiseUrl: "http://node1:8000", log: { format: "json" } });
    // Names of other machines and no key: the peers would refuse each other.
    expect(warnings).toEqual([
      expect.stringContaining("without TLS, SHARED_MAC_KEY or CLUSTER_PORT only peers of this machine are accepted"),
    ]);
  });

  test("S1's command line", () => {
    const { config } = loadConfig(
      given({
        argv: ["--env-file", "lock_node1.env", "--node-type", "lock"],
        files: { "lock_node1.env": "NODE_PORT=8001\nPEER_ADDRESSES=http://localhost:8002,http://localhost:8003\n" },
      }),
    );
    expect(config).toMatchObject({ roles: ["lock"], http: { port: 8001 } });
    expect(config.peers.map((peer) => peer.url)).toEqual(["http://localhost:8002", "http://localhost:8003"]);
  });

  test("S0's three terminals: the own entry is found by its port on loopback, the advertised address is the listed one", () => {
    const ALL_NODES = "http://localhost:8001,http://localhost:8002,http://localhost:8003";
    const { config } = loadConfig(given({ env: { PORT: "8002", NODE_ID: "node2", ALL_NODES, REDIS_HOST: "localhost" } }));
    expect(config.self?.url).toBe("http://localhost:8002");
    expect(config.advertiseUrl).toBe("http://localhost:8002");
  });
});
