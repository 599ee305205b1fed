import { settingNames, settingOf } from "@trivet/contract";
import { defaultQueueSettings } from "@trivet/core";
import type { QueueSettings } from "@trivet/engine";
import { newestLevel } from "@trivet/wire";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, loadConfig, queueDefaults, reportConfig } from "../../src/config/index.ts";
import { hostConfig } from "../../src/compose.ts";
import { given } from "./given.ts";

function failure(run: () => unknown): ConfigError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("defaults", () => {
  test("a node says that it knows all that it knows", () => {
    expect(loadConfig(given({})).config.featureLevel).toBe(newestLevel);
    expect(settingOf("FEATURE_LEVEL")).toMatchObject({ max: newestLevel });
  });

  test("a node without any setting listens on loopback, port 8000, with all services", () => {
    const { config, warnings } = loadConfig(given({}));
    expect(config).toMatchObject({
      nodeId: "box",
      roles: ["lock", "queue", "cache"],
      http: { host: "127.0.0.1", port: 8000, requestTimeoutMs: 10_000 },
      cluster: null,
      advertiseUrl: "http://127.0.0.1:8000",
      peers: [],
      raft: { heartbeatMs: 50, electionMinMs: 300, electionMaxMs: 600, noLeaderWaitMs: 2_000 },
      failureDetector: { intervalMs: 1_000, timeoutMs: 3_000 },
      storage: { dataDir: "./data/box" },
      locks: { defaultTtlMs: 60_000, maxTtlMs: 3_600_000, delayMs: 0 },
      cache: {
        capacity: 10_000,
        maxBytes: 67_108_864,
        policy: "wtinylfu",
        seedDemoData: false,
        origins: { timeoutMs: 2_000, redis: null, postgres: null },
      },
      log: { level: "info", dir: "logs", format: "text", maxBytes: 16_777_216, keep: 2 },
    });
    expect(warnings).toEqual([]);
  });

  test("every default and every example that is not a placeholder is a value its own setting accepts", () => {
    let checked = 0;
    for (const name of settingNames) {
      const { example } = settingOf(name);
      if (example.startsWith("(")) continue;
      const env: Record<string, string> = { [name]: example };
      // Pairs that are checked against each other.
      if (name === "LOCK_MAX_TTL_MS") env["LOCK_DEFAULT_TTL_MS"] = "60000";
      if (name === "NODE_SCALABLE") env["JOIN"] = "http://node1:8001";
      if (name === "ACCESS_FILE") env["AUTH_MODE"] = "keys";
      if (/^JWT_(?:KEYS|ISSUER|AUDIENCE)$/.test(name))
        Object.assign(env, { AUTH_MODE: "jwt", JWT_KEYS: "k", JWT_ISSUER: "i", JWT_AUDIENCE: "a", ...env });
      if (name === "AUDIT_LOG") env["AUDIT_KEY"] = "0123456789abcdef";
      if (name === "CERT_FILE" || name === "KEY_FILE") Object.assign(env, { CERT_FILE: example, KEY_FILE: example, CA_FILE: "ca.crt" });
      expect(reportConfig(given({ env })).faults, `${name}=${example}`).toEqual([]);
      checked++;
    }
    expect(checked).toBeGreaterThan(50);
  });
});

describe("precedence: flag > environment > --env-file > .env > trivet.config.json > default", () => {
  const files = { "trivet.config.json": '{"HTTP_PORT": 1}', ".env": "HTTP_PORT=2", "one.env": "PORT=3" };
  test.each([
    { name: "trivet.config.json", input: given({ files: { "trivet.config.json": files["trivet.config.json"] } }), port: 1 },
    { name: ".env", input: given({ files: { "trivet.config.json": files["trivet.config.json"], ".env": files[".env"] } }), port: 2 },
    { name: "--env-file", input: given({ files, argv: ["--env-file", "one.env"] }), port: 3 },
    { name: "environment", input: given({ files, argv: ["--env-file", "one.env"], env: { NODE_PORT: "4" } }), port: 4 },
    { name: "flag", input: given({ files, argv: ["--env-file", "one.env", "--port", "5"], env: { NODE_PORT: "4" } }), port: 5 },
  ])("$name wins over everything below it", ({ input, port }) => {
    expect(loadConfig(input).config.http.port).toBe(port);
  });

  test("the report names the source, the line and the name that was written", () => {
    const report = reportConfig(given({ files: { ".env": "# comment\nPORT=8001\n" } }));
    expect(report.rows.find((row) => row.name === "HTTP_PORT")).toMatchObject({ value: "8001", source: ".env line 2", writtenAs: "PORT" });
    expect(report.rows.find((row) => row.name === "NODE_ROLES")).toMatchObject({
      value: "lock,queue,cache",
      source: "default",
      writtenAs: null,
    });
  });

  test("an empty variable counts as not set", () => {
    expect(loadConfig(given({ env: { PORT: "", REDIS_PASSWORD: "" } })).config.http.port).toBe(8000);
  });

  test("the launcher can keep id, port and peers of a .env away from its nodes", () => {
    const input = given({
      files: { ".env": "NODE_ID=node1\nHTTP_PORT=8000\nLOG_LEVEL=DEBUG" },
      ignoreInDotenv: (name) => name === "NODE_ID" || name === "HTTP_PORT",
    });
    const { config } = loadConfig({ ...input, env: { NODE_ID: "b", HTTP_PORT: "8002" } });
    expect(config).toMatchObject({ nodeId: "b", http: { port: 8002 }, log: { level: "debug" } });
  });
});

describe("a scaled replica", () => {
  test("takes its id from the host, joins through whichever node answers, votes never, and tells the others what it is", () => {
    const env = {
      NODE_SCALABLE: "true",
      JOIN: "http://node1:8001,node2:8002",
      NODE_ROLES: "queue",
      HTTP_HOST: "0.0.0.0",
      CLUSTER_PORT: "9000",
    };
    const { config } = loadConfig({ ...given({ env }), hostname: "3f2a9c1b7d2e" });
    expect(config).toMatchObject({ nodeId: "3f2a9c1b7d2e", advertiseUrl: "http://3f2a9c1b7d2e:8000", scalable: true });
    expect(hostConfig(config)).toMatchObject({ roles: "queue,scalable", mayVote: false, join: ["http://node1:8001", "http://node2:8002"] });
  });
  test("a node that is none may vote", () => {
    expect(hostConfig(loadConfig(given({})).config)).toMatchObject({ roles: "lock,queue,cache", mayVote: true, join: [] });
  });
});

describe("conflicts", () => {
  test("two names of one setting with different values in one source stop the start", () => {
    const error = failure(() => loadConfig(given({ env: { PORT: "8001", HTTP_PORT: "8000" } })));
    expect(error.exitCode).toBe(78);
    expect(error.message).toContain("PORT=8001 and HTTP_PORT=8000 (environment) contradict each other");
  });
  test("equal values under two names are no conflict", () => {
    expect(loadConfig(given({ env: { PORT: "8001", HTTP_PORT: "08001" } })).config.http.port).toBe(8001);
  });
  test("between sources the higher one wins without complaint", () => {
    expect(loadConfig(given({ env: { PORT: "8001" }, files: { ".env": "HTTP_PORT=8000" } })).config.http.port).toBe(8001);
  });
  test("the same flag twice with different values is a conflict", () => {
    expect(failure(() => loadConfig(given({ argv: ["--port", "1", "--http-port=2"] }))).message).toContain("contradict");
  });
});

describe("bad values: one line with name, value, place and example", () => {
  test.each([
    [{ HTTP_PORT: "80a" }, "HTTP_PORT=80a (environment): expected a port from 0 to 65535; for example HTTP_PORT=8001"],
    [{ PORT: "70000" }, "PORT=70000 (environment): expected a port from 0 to 65535; for example PORT=8001"],
    [
      { RAFT_HEARTBEAT_INTERVAL_MS: "0.5" },
      "RAFT_HEARTBEAT_INTERVAL_MS=0.5 (environment): expected milliseconds, a whole number from 5 to 60000",
    ],
    [{ ENABLE_METRICS: "maybe" }, "ENABLE_METRICS=maybe (environment): expected true or false"],
    [{ LOG_LEVEL: "LOUD" }, "LOG_LEVEL=LOUD (environment): expected one of debug, info, warn, error"],
    [{ ADVERTISE_URL: "node1" }, "ADVERTISE_URL=node1 (environment): expected a URL"],
    [{ NODE_ID: "node 1" }, "NODE_ID=node 1 (environment): expected 1 to 64 letters"],
    [
      { RAFT_ELECTION_TIMEOUT_MIN_MS: "100" },
      "RAFT_ELECTION_TIMEOUT_MIN_MS=100 (environment): expected at least 200, four times RAFT_HEARTBEAT_INTERVAL_MS (50)",
    ],
    [
      { RAFT_HEARTBEAT_INTERVAL_MS: "100" },
      "RAFT_HEARTBEAT_INTERVAL_MS=100 (environment): expected at most 75, a quarter of RAFT_ELECTION_TIMEOUT_MIN_MS (300)",
    ],
    [{ RAFT_ELECTION_TIMEOUT_MAX_MS: "300" }, "expected more than RAFT_ELECTION_TIMEOUT_MIN_MS (300)"],
    [{ HEARTBEAT_TIMEOUT: "0.5" }, "expected more than HEARTBEAT_INTERVAL"],
    [{ PEERS: "http://a:1,http://a:1/" }, "http://a:1 appears twice"],
    [{ ENABLE_ENCRYPTION: "perhaps" }, "ENABLE_ENCRYPTION=perhaps"],
    [{ ADVERTISE_HOST: "http://a" }, "ADVERTISE_HOST=http://a (environment): expected a host name or an address, without scheme and port"],
    [{ NODE_SCALABLE: "true" }, "NODE_SCALABLE=true (environment): expected JOIN beside it"],
    [{ JOIN: "http://a:1/path" }, "JOIN=http://a:1/path (environment): expected a list of nodes"],
  ])("%o", (env, line) => {
    const error = failure(() => loadConfig(given({ env })));
    expect(error.exitCode).toBe(78);
    expect(error.message).toContain(line);
    expect(error.message).not.toContain("\n");
  });

  test("broken JSON in a peer list names the position (T-18, L-11)", () => {
    const error = failure(() => loadConfig(given({ files: { ".env": 'NODE_TYPE=lock\nRAFT_PEERS={"node1":"http://node1:8001",}\n' } })));
    expect(error.exitCode).toBe(78);
    expect(error.message).toBe(
      'RAFT_PEERS={"node1":"http://node1:8001",} (.env line 2): expected a key in double quotes at position 30; for example RAFT_PEERS={"node1":"http://node1:8001"}',
    );
  });

  test("broken JSON in the configuration file names file, line and column", () => {
    expect(failure(() => loadConfig(given({ files: { "trivet.config.json": '{\n  "HTTP_PORT": 80O1\n}' } }))).message).toContain(
      "trivet.config.json: not valid JSON at position 20 (line 2, column 18)",
    );
  });

  test("a secret is never shown", () => {
    const error = failure(() => loadConfig(given({ env: { SHARED_MAC_KEY: "short-secret" } })));
    expect(error.message).not.toContain("short-secret");
    expect(error.message).toContain("SHARED_MAC_KEY=**** (environment): expected 16 characters or more");
    const report = reportConfig(given({ env: { SHARED_MAC_KEY: "0123456789abcdef0123", REDIS_PASSWORD: "hunter2-hunter2" } }));
    expect(JSON.stringify(report)).not.toMatch(/0123456789abcdef0123|hunter2/);
    expect(report.rows.find((row) => row.name === "SHARED_MAC_KEY")?.value).toBe("****");
  });

  test("sample values are stored when asked for, never in production", () => {
    for (const [TRIVET_ENV, seedDemoData] of [
      ["development", true],
      ["production", false],
    ] as const)
      expect(loadConfig(given({ env: { SEED_DEMO_DATA: "true", TRIVET_ENV } })).config.cache, TRIVET_ENV).toMatchObject({ seedDemoData });
  });

  test("production refuses sample keys, development takes them", () => {
    const env = { SHARED_MAC_KEY: "change-me-in-production" };
    expect(loadConfig(given({ env })).config.macKey).toBe("change-me-in-production");
    expect(failure(() => loadConfig(given({ env: { ...env, TRIVET_ENV: "production" } }))).message).toContain("this one is a sample");
  });

  test("all faults are reported by check, the first one at the start", () => {
    const input = given({ env: { HTTP_PORT: "x", LOG_LEVEL: "x" } });
    expect(failure(() => loadConfig(input)).message).toMatch(/^HTTP_PORT=x .*\(and 1 more: `trivet config check`\)$/);
    const report = reportConfig(input);
    expect(report.ok).toBe(false);
    expect(report.faults).toHaveLength(2);
  });

  test("an unknown role is wrong usage: exit code 64 (T-13)", () => {
    const error = failure(() => loadConfig(given({ argv: ["--node-type", "database"] })));
    expect(error.exitCode).toBe(64);
    expect(error.message).toContain("--node-type database (flag): expected all, or any of lock, queue, cache");
  });

  test("unknown flags, flags without value and secrets as flags are refused with exit code 64", () => {
    expect(failure(() => loadConfig(given({ argv: ["--prot", "1"] }))).message).toContain("--prot is not known");
    expect(failure(() => loadConfig(given({ argv: ["--http-prot", "1"] }))).message).toContain("did you mean --http-port?");
    expect(failure(() => loadConfig(given({ argv: ["--port"] }))).message).toBe("--port needs a value");
    expect(failure(() => loadConfig(given({ argv: ["--shared-mac-key", "x"] }))).message).toContain("a secret is never a flag");
    expect(failure(() => loadConfig(given({ argv: ["stray"] }))).exitCode).toBe(64);
  });

  test("a missing --env-file is our error, exit 78", () => {
    const error = failure(() => loadConfig(given({ argv: ["--env-file", "nowhere.env"] })));
    expect(error.exitCode).toBe(78);
    expect(error.message).toBe("--env-file nowhere.env: no such file");
  });
});

describe("warnings about the cluster", () => {
  const peers = "http://10.0.0.1:8001,http://10.0.0.2:8001,http://10.0.0.3:8001";
  test("peers on other machines without key or port of their own are warned about, with either they are not", () => {
    expect(loadConfig(given({ env: { PEERS: peers } })).warnings).toHaveLength(1);
    expect(loadConfig(given({ env: { PEERS: peers, SHARED_MAC_KEY: "0123456789abcdef" } })).warnings).toEqual([]);
    expect(loadConfig(given({ env: { PEERS: peers, CLUSTER_PORT: "9000" } })).warnings).toEqual([]);
  });
  test("two nodes tolerate nothing", () => {
    const env = { PORT: "8001", PEERS: "http://localhost:8001,http://localhost:8002" };
    expect(loadConfig(given({ env })).warnings).toEqual(["2 nodes tolerate no failure; three tolerate one"]);
  });
});

describe("look-alikes", () => {
  test.each([
    ["ALL_NODE", "ALL_NODES"],
    ["REDIS_PASWORD", "REDIS_PASSWORD"],
    ["RAFT_PEER", "RAFT_PEERS"],
    ["HEARTBEAT_INTERVALL", "HEARTBEAT_INTERVAL"],
  ])("%s is warned about with %s", (name, nearest) => {
    expect(loadConfig(given({ env: { [name]: "x" } })).warnings).toEqual([
      `${name} (environment) is not a setting; did you mean ${nearest}?`,
    ]);
  });
  test("other programs' variables raise no warning", () => {
    const env = {
      HOST: "x",
      HOSTNAME: "x",
      HOME: "/",
      PATH: "/bin",
      NODE_ENV: "x",
      NODE_PATH: "x",
      USER: "root",
      npm_config_port: "1",
      TERM: "x",
      SHLVL: "1",
      PWD: "/",
    };
    expect(loadConfig(given({ env })).warnings).toEqual([]);
  });
  test("an unknown key of trivet.config.json is warned about even when it resembles nothing", () => {
    expect(loadConfig(given({ files: { "trivet.config.json": '{"colour": "red", "$schema": "x"}' } })).warnings).toEqual([
      "colour (trivet.config.json) is not a setting",
    ]);
  });
  test("a line of a .env that is no assignment is left out with a warning", () => {
    expect(loadConfig(given({ files: { ".env": "nonsense here\nPORT=1" } })).warnings[0]).toContain(".env line 1 is not NAME=VALUE");
  });
  test.each([
    ["SHARED_MAC_KEY 0123456789hunter2", "; it seems to be about SHARED_MAC_KEY"],
    ["SHARED_MAC_KEY: 0123456789hunter2", "; it seems to be about SHARED_MAC_KEY"],
    ["export AUDIT_KEY hunter2", "; it seems to be about AUDIT_KEY"],
    ["hunter2", ""],
    ["HUNTER2", ""],
    ["-----BEGIN PRIVATE KEY----- hunter2", ""],
  ])("nothing of such a line is told, as it may be a secret: %s", (line, about) => {
    const { warnings } = loadConfig(given({ files: { ".env": `${line}\n` } }));
    expect(warnings[0]).toBe(`.env line 1 is not NAME=VALUE and is left out${about}`);
    expect(warnings.join()).not.toMatch(/hunter2/i);
  });
});

describe("switches", () => {
  test.each([
    [["--auto-replace"], true],
    [["--auto-replace", "false"], false],
    [["--auto-replace=true"], true],
    [["--no-auto-replace"], false],
  ])("%o", (argv, expected) => {
    expect(loadConfig(given({ argv })).config.autoReplace).toBe(expected);
  });
});

test("HEARTBEAT_INTERVAL and HEARTBEAT_TIMEOUT are the failure detector's and leave the timers of Raft alone (X-08)", () => {
  const env = { HEARTBEAT_INTERVAL: "0.5", HEARTBEAT_TIMEOUT: "2.5" };
  const { config } = loadConfig(given({ env }));
  expect(hostConfig(config)).toMatchObject({ failureDetector: { intervalMs: 500, timeoutMs: 2_500 }, heartbeatMs: 50, electionMinMs: 300 });
  expect(hostConfig(loadConfig(given({})).config)).toMatchObject({ failureDetector: { intervalMs: 1_000, timeoutMs: 3_000 } });
});

describe("queues", () => {
  test("what a queue gets that is made without saying otherwise", () => {
    expect(loadConfig(given({})).config.queues).toEqual({
      backend: "embedded",
      autoCreate: true,
      partitions: 1,
      visibilityMs: 30_000,
      maxDeliveries: 5,
      maxMessages: 1_000_000,
      redis: null,
    });
    const env = { QUEUE_PARTITIONS: "8", QUEUE_VISIBILITY_MS: "5000", QUEUE_MAX_DELIVERIES: "3", QUEUE_MAX_LENGTH: "10" };
    expect(loadConfig(given({ env: { ...env, QUEUE_AUTO_CREATE: "false" } })).config.queues).toMatchObject({
      autoCreate: false,
      partitions: 8,
      visibilityMs: 5_000,
      maxDeliveries: 3,
      maxMessages: 10,
    });
  });
  test("the defaults of the settings are those of the state machine: a queue is the same, whoever makes it", () => {
    const defaults = queueDefaults(loadConfig(given({})).config);
    const names = Object.keys(defaults) as (keyof QueueSettings)[];
    expect(defaults).toEqual(Object.fromEntries(names.map((name) => [name, defaultQueueSettings[name]])));
    expect(defaultQueueSettings.maxDeliveries).toBe(5);
  });
  test.each([
    [{ REDIS_HOST: "redis" }, "redis"],
    [{ REDIS_URL: "redis://redis:6379/0" }, "redis"],
    [{ REDIS_NODES: "redis-1,redis-2" }, "redis"],
    [{ REDIS_HOST: "redis", QUEUE_BACKEND: "embedded" }, "embedded"],
    [{ QUEUE_BACKEND: "redis" }, "redis"],
    [{ REDIS_PORT: "6380" }, "embedded"],
  ] as const)("%o keeps messages in %s", (env, backend) => {
    expect(loadConfig(given({ env })).config.queues.backend).toBe(backend);
  });
  test("no setting promises virtual nodes of a ring", () => {
    expect(settingNames).not.toContain("QUEUE_VNODES");
  });
});

test("a program gives an environment and takes flags, folder, host name and files of the process", () => {
  const folder = mkdtempSync(join(tmpdir(), "trivet-config-"));
  writeFileSync(join(folder, ".env"), "HTTP_PORT=8123\n");
  expect(loadConfig({ env: { NODE_ID: "embedded" }, cwd: folder }).config).toMatchObject({ nodeId: "embedded", http: { port: 8123 } });
  rmSync(folder, { recursive: true });
});

test("a .env that cannot be read ends the start: what it locks would be open", () => {
  const folder = mkdtempSync(join(tmpdir(), "trivet-config-"));
  try {
    // As the engine of containers leaves it where the file of a mount was missing.
    mkdirSync(join(folder, ".env"));
    const error = failure(() => loadConfig({ env: {}, cwd: folder }));
    expect(error).toMatchObject({ exitCode: 78, message: `${join(folder, ".env")}: it cannot be read (EISDIR)` });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
