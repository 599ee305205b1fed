import { describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "../../src/config/index.ts";
import { given } from "./given.ts";

function faultsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}
const tlsOf = (env: Record<string, string>): unknown => loadConfig(given({ env: { NODE_ID: "node1", ...env } })).config.tls;

const env = (more: Record<string, string>) => (): unknown => loadConfig(given({ env: more }));
/** In a file: as a variable of the environment API_KEY belongs to other programs. */
const keysOf = (text: string): unknown =>
  loadConfig(given({ env: { AUTH_MODE: "keys" }, files: { ".env": `API_KEY=${text}\n` } })).config.access?.keys;

describe("access control and audit log", () => {
  const key = "0123456789abcdef";

  test("are off unless asked for; keys that nobody would be asked for are a fault", () => {
    const { config } = loadConfig(given({}));
    expect([config.access, config.audit, config.rateLimit]).toEqual([null, null, null]);
    expect(faultsOf(env({ API_KEYS: key }))[0]).toMatch(/expected AUTH_MODE=keys beside it/);
    expect(faultsOf(env({ ACCESS_FILE: "access.json" }))[0]).toMatch(/expected AUTH_MODE=keys beside it/);
    expect(faultsOf(env({ AUTH_MODE: "keys" }))[0]).toMatch(/nobody would be let in/);
    expect(faultsOf(env({ AUDIT_LOG: "audit.log" }))[0]).toMatch(/expected AUDIT_KEY beside it/);
  });

  test("API_KEYS and API_KEY: a role before each, admin without; short and sample keys are refused, and never shown", () => {
    expect(keysOf(`reader=${key},${key}=`)).toEqual([
      { role: "reader", key },
      { role: "admin", key: `${key}=` },
    ]);
    const faults = [
      ...faultsOf(env({ AUTH_MODE: "keys", API_KEYS: "reader=short" })),
      ...faultsOf(env({ AUTH_MODE: "keys", API_KEYS: `owner=${key}` })),
    ];
    expect(faults.join()).toMatch(/16 characters or more.*ROLE=KEY/s);
    expect(faults.join()).not.toMatch(/short,|0123456789abcdef/);
    expect(faultsOf(env({ AUTH_MODE: "keys", API_KEYS: "your-secret-key-1234", TRIVET_ENV: "production" }))[0]).toMatch(/sample/);
  });
});

describe("tokens", () => {
  const jwt = { AUTH_MODE: "jwt", JWT_ISSUER: "https://login.example.com/", JWT_AUDIENCE: "trivet", JWT_KEYS: "jwks.json" };

  test("are pinned to an issuer, an audience and algorithms; keys are a file or an https address", () => {
    expect(loadConfig(given({ env: jwt })).config.access?.jwt).toEqual({
      issuer: "https://login.example.com/",
      audience: "trivet",
      keys: { type: "file", path: "jwks.json" },
      algorithms: ["RS256", "ES256", "EdDSA"],
      roleClaim: "roles",
      prefixClaim: "prefixes",
      skewMs: 5_000,
      maxAgeMs: 0,
    });
    const url = "https://login.example.com/jwks.json";
    expect(loadConfig(given({ env: { ...jwt, JWT_KEYS: url } })).config.access?.jwt?.keys).toEqual({ type: "url", url });
    expect(faultsOf(env({ ...jwt, JWT_KEYS: "http://127.0.0.1:8080/jwks.json" }))).toEqual([]);
  });

  test.each([
    [{ JWT_ISSUER: "" }, /JWT_ISSUER/],
    [{ JWT_AUDIENCE: "" }, /JWT_AUDIENCE/],
    [{ JWT_KEYS: "" }, /JWT_KEYS/],
    [{ JWT_KEYS: "http://login.example.com/jwks.json" }, /an https address/],
    [{ JWT_KEYS: "https://user:word@login.example.com/" }, /without a name and a password/],
    [{ JWT_KEYS: "ftp://login.example.com/" }, /an https address/],
    [{ JWT_ALGORITHMS: "none" }, /any of RS256/],
    [{ JWT_ALGORITHMS: "RS256,HS256" }, /any of RS256/],
    [{ JWT_CLOCK_SKEW_SECONDS: "301" }, /0 to 300/],
    [{ AUTH_MODE: "keys", ACCESS_FILE: "a.json" }, /AUTH_MODE=jwt beside it/],
    [{ AUTH_MODE: "none" }, /AUTH_MODE=jwt beside it/],
  ])("%j is refused", (more: Record<string, string>, why) => {
    expect(faultsOf(env({ ...jwt, ...more })).join()).toMatch(why);
  });
});

describe("peers of a node that asks callers who they are", () => {
  const keys = { AUTH_MODE: "keys", API_KEYS: "0123456789abcdef", NODE_ID: "node1" };
  const peers = { ...keys, PEERS: "node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002", HTTP_PORT: "8001" };

  test("must be proven: else whoever can connect from this machine would be a node, and nodes may do everything", () => {
    expect(faultsOf(env(peers))[0]).toMatch(/AUTH_MODE.*SHARED_MAC_KEY/);
    expect(faultsOf(env({ ...keys, JOIN: "http://127.0.0.1:8002" }))[0]).toMatch(/AUTH_MODE.*SHARED_MAC_KEY/);
    expect(faultsOf(env({ ...peers, SHARED_MAC_KEY: "0123456789abcdef" }))).toEqual([]);
    expect(faultsOf(env({ ...peers, CLUSTER_PORT: "9001" }))).toEqual([]);
    expect(faultsOf(env({ ...peers, CERT_PATH: "certs" }))).toEqual([]);
    expect(faultsOf(env(keys))).toEqual([]);
  });
});

describe("TLS (S2, S4)", () => {
  const files = { CERT_FILE: "/etc/c/node1.crt", KEY_FILE: "/etc/c/node1.key", CA_FILE: "/etc/c/ca.crt" };

  test("is off unless asked for, and whoever names a certificate asks for it (G-01)", () => {
    expect(tlsOf({})).toBeNull();
    expect(tlsOf({ CA_FILE: "ca.crt" })).toBeNull();
    const server = { clients: "anyone", certFile: "/etc/c/node1.crt", keyFile: "/etc/c/node1.key", caFile: "/etc/c/ca.crt" };
    expect(tlsOf(files)).toEqual(server);
    expect(tlsOf({ CERT_PATH: "/etc/c/" })).toEqual(server);
    expect(tlsOf({ ...files, TLS_MODE: "mutual" })).toEqual({ ...server, clients: "certified" });
    expect(tlsOf({ ...files, ENABLE_TLS: "true" })).toEqual(server);
    // S4's sample file has both.
    expect(tlsOf({ ENABLE_ENCRYPTION: "false", CERT_PATH: "/certs/" })).toBeNull();
    expect(tlsOf({ ...files, TLS_MODE: "off" })).toBeNull();
  });

  test("half of it is a fault, never a reason to go on without (W-79)", () => {
    expect(faultsOf(() => tlsOf({ TLS_MODE: "server" }))).toEqual(
      ["CERT_FILE", "KEY_FILE", "CA_FILE"].map(
        (name) =>
          expect.stringMatching(
            new RegExp(`^${name} \\(not set\\): expected a file, because TLS is on.*trivet cert issue node1`),
          ) as unknown,
      ),
    );
    expect(faultsOf(() => tlsOf({ CERT_FILE: "a.crt", CERT_PATH: "" }))).toHaveLength(2);
  });

  test("every address of the cluster is https then, however it was written", () => {
    const env = {
      NODE_ID: "node1",
      ...files,
      ALL_NODES: "http://node1:8001,node2:8002,https://node3:8003",
      PORT: "8001",
      JOIN: "http://node2:8002",
    };
    const { config } = loadConfig(given({ env }));
    expect(config.peers.map(({ url }) => url)).toEqual(["https://node1:8001", "https://node2:8002", "https://node3:8003"]);
    expect(config).toMatchObject({ advertiseUrl: "https://node1:8001", join: ["https://node2:8002"] });
  });

  test("NODE_SECRET is SHARED_MAC_KEY", () => {
    expect(loadConfig(given({ env: { NODE_SECRET: "0123456789abcdef" } })).config.macKey).toBe("0123456789abcdef");
  });
});
