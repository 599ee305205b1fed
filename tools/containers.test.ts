import { settingNames, settingOf } from "@trivet/contract";
import { loadConfig } from "@trivet/server";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseEnv } from "node:util";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly profiles?: readonly string[];
  readonly env_file?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number | null>>;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } };
  readonly deploy?: { readonly replicas: number | string };
  readonly stop_grace_period?: string;
}
interface Compose {
  readonly version?: string;
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly name: string }>>;
  readonly volumes: Readonly<Record<string, null>>;
}

const text = read("docker/docker-compose.yml");
/** The file as Compose reads it with these variables. */
function compose(variables: Readonly<Record<string, string>> = {}): Compose {
  const filled = text.replaceAll(/\$\{([A-Z_]+):-([^}]*)\}/g, (_whole, name: string, fallback: string) => variables[name] || fallback);
  return parse(filled, { merge: true }) as Compose;
}
const { services, networks, volumes, version } = compose();
const roles = ["lock", "queue", "cache"] as const;
const split = roles.flatMap((role) => [1, 2, 3].map((number) => `node_${role}_${number}`));
const scalable = ["node_scalable", "node_queue_scalable"];
const nodes = ["node1", "node2", "node3", ...scalable, ...split];
const published = (name: string): readonly string[] => (services[name]?.ports ?? []).map((port) => port.replace("127.0.0.1:", ""));

/** ENV lines of the image. */
const imageEnv = Object.fromEntries(
  [...read("docker/Dockerfile.node").matchAll(/^(?:ENV| {4})\s*([A-Z_]+)=(\S+)/gm)].map((match) => [match[1] ?? "", match[2] ?? ""]),
);
type Files = (path: string) => string;
/** The configuration of a node as its container has it. */
function configOf(name: string, using: Compose = compose(), fileOf: Files = read) {
  const { env_file: files = [], environment = {}, command = ["serve"], volumes: mounts = [] } = using.services[name] as Service;
  const fromFiles = Object.assign({}, ...files.map((file) => parseEnv(fileOf(normalize(join("docker", file))))));
  const mountedAt = (path: string): string | undefined => mounts.find((mount) => mount.split(":")[1] === path)?.split(":")[0];
  const own = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, String(value ?? "")]));
  return loadConfig({
    argv: command.slice(1),
    env: { ...imageEnv, ...fromFiles, ...own },
    cwd: "/app",
    hostname: "3f2a9c1b7d2e",
    readFile: (path) => {
      const source = mountedAt(path);
      return source === undefined ? null : fileOf(normalize(join("docker", source)));
    },
  });
}

describe("docker/docker-compose.yml", () => {
  it("needs no .env: every variable has a default, and no file is named that may be missing", () => {
    for (const [variable] of text.matchAll(/\$\{[^}]*\}/g)) expect(variable).toMatch(/^\$\{[A-Z_]+:-/);
    expect(version).toBeUndefined();
    for (const { build, env_file: files = [], volumes: mounts = [] } of Object.values(services)) {
      for (const file of files) expect(existsSync(join(root, "docker", file)), file).toBe(true);
      if (build !== undefined) expect(existsSync(join(root, "docker", build.context, build.dockerfile))).toBe(true);
      for (const mount of mounts.filter((each) => each.startsWith(".") && !each.startsWith("../logs:"))) {
        expect(existsSync(join(root, "docker", mount.split(":")[0] ?? "")), mount).toBe(true);
      }
    }
    // On a file system that knows upper and lower case.
    expect(readdirSync(join(root, "docker"))).toContain("Dockerfile.node");
  });

  it("starts redis and three nodes alone (S0)", () => {
    const started = Object.entries(services).filter(([, { profiles, deploy }]) => profiles === undefined && deploy?.replicas !== 0);
    expect(started.map(([name]) => name)).toEqual(["redis", "node1", "node2", "node3"]);
    expect(["redis", "node1", "node2", "node3"].flatMap(published)).toEqual(["6379:6379", "8001:8001", "8002:8002", "8003:8003"]);
  });

  it("has S3's twelve services with the split lines of .env.example, on S2's ports", () => {
    const lines = [...read(".env.example").matchAll(/^#(COMPOSE_PROFILES|CLUSTER_REPLICAS)=(.*)$/gm)];
    const variables = Object.fromEntries(lines.map((match) => [match[1] ?? "", match[2] ?? ""]));
    expect(variables).toEqual({ COMPOSE_PROFILES: "split,monitoring", CLUSTER_REPLICAS: "0" });
    const chosen = new Set(variables["COMPOSE_PROFILES"]?.split(","));
    const started = Object.entries(compose(variables).services)
      .filter(
        ([, { profiles = [], deploy }]) =>
          (profiles.length === 0 || profiles.some((each) => chosen.has(each))) && Number(deploy?.replicas ?? 1) > 0,
      )
      .map(([name]) => name);
    expect(started).toEqual(["redis", ...split, "prometheus", "grafana"]);
    expect(split.flatMap(published)).toEqual([8001, 8002, 8003, 9101, 9102, 9103, 10_001, 10_002, 10_003].map((port) => `${port}:8000`));
    expect(services["node_queue_1"]?.networks?.default.aliases).toEqual(["queue-node-1"]);
    expect(services["node_cache_3"]?.networks?.default.aliases).toEqual(["cache-node-3"]);
  });

  it("publishes on this machine only, unless it is told otherwise", () => {
    for (const { ports = [] } of Object.values(services)) for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    for (const { ports = [] } of Object.values(compose({ PUBLISH_ADDRESS: "0.0.0.0" }).services))
      for (const port of ports) expect(port).toMatch(/^0\.0\.0\.0:/);
  });

  it("uses every volume it declares, and S1's network", () => {
    const used = Object.values(services).flatMap(({ volumes: mounts = [] }) => mounts.map((mount) => mount.split(":")[0] ?? ""));
    for (const name of Object.keys(volumes)) expect(used).toContain(name);
    // The default network: a service pasted as S0 has it is on it too.
    expect(networks).toEqual({ default: { name: "dist_sys_net" } });
  });

  it.each(nodes)("%s has a valid configuration without warnings", (name) => {
    const { config, warnings } = configOf(name);
    expect(warnings).toEqual([]);
    expect(config.http.host).toBe("0.0.0.0");
    expect(config.cluster?.port).toBe(9000);
    const grace = Number(/^(\d+)s$/.exec(services[name]?.stop_grace_period ?? "")?.[1]);
    expect(grace * 1_000).toBeGreaterThan(config.shutdownTimeoutMs);
  });

  it("the nodes by type are three clusters that know each other", () => {
    for (const [at, name] of split.entries()) {
      const { config } = configOf(name);
      const role = roles[Math.floor(at / 3)] ?? "lock";
      const group = split.filter((each) => each.includes(role));
      expect(config).toMatchObject({ nodeId: name, roles: [role], http: { port: 8000 }, self: { id: name, url: `http://${name}:8000` } });
      expect(config.peers.map(({ id }) => id)).toEqual(group);
      for (const other of roles) expect(config.elsewhere[other].map(({ id }) => id)).toEqual(split.filter((each) => each.includes(other)));
    }
  });

  it("the peers by type may come from .env as JSON (S3)", () => {
    const RAFT_PEERS = JSON.stringify(Object.fromEntries(split.slice(0, 3).map((name) => [name, `http://${name}:8000`])));
    // YAML between double quotes takes JSON with its quotes escaped; Compose fills values in after it has read the file.
    const using = compose({ RAFT_PEERS: RAFT_PEERS.replaceAll('"', String.raw`\"`) });
    expect(configOf("node_lock_1", using).config.peers.map(({ id }) => id)).toEqual(split.slice(0, 3));
  });

  it("the scaled replicas take their id from the host, have no fixed port, and never vote", () => {
    for (const name of scalable) {
      expect(services[name]).toMatchObject({ deploy: { replicas: 0 } });
      expect(services[name]).not.toHaveProperty("ports");
      expect(services[name]).not.toHaveProperty("profiles");
      const { config } = configOf(name);
      expect(config).toMatchObject({ nodeId: "3f2a9c1b7d2e", scalable: true, advertiseUrl: "http://3f2a9c1b7d2e:8000" });
    }
    expect(configOf("node_queue_scalable").config.roles).toEqual(["queue"]);
  });

  /** Under each of its names, but for one that counts in files only, because other programs mean something else by it. */
  const securityNames = settingNames
    .filter((name) => settingOf(name).use === "security")
    .flatMap((name) => [name, ...(settingOf(name).aliases ?? []).filter(({ filesOnly }) => filesOnly !== true).map((alias) => alias.name)]);

  it("passes every setting of security in .env on to every node", () => {
    expect(securityNames).toEqual(
      expect.arrayContaining(["AUTH_MODE", "API_KEYS", "SHARED_MAC_KEY", "RATE_LIMIT_PER_SECOND", "AUDIT_KEY"]),
    );
    const using = compose(Object.fromEntries(securityNames.map((name) => [name, `value of ${name}`])));
    for (const node of nodes) {
      const given = using.services[node]?.environment ?? {};
      expect(
        securityNames.filter((name) => given[name] !== `value of ${name}`),
        node,
      ).toEqual([]);
    }
  });

  it.each(nodes)("%s asks for a key where .env says so, and reads and writes where it can", (name) => {
    const { config } = configOf(
      name,
      compose({
        AUTH_MODE: "keys",
        ACCESS_FILE: "access/access.json",
        RATE_LIMIT_PER_SECOND: "100",
        AUDIT_LOG: "data/audit.log",
        AUDIT_KEY: "0123456789abcdef0123456789abcdef",
      }),
    );
    expect(config).toMatchObject({
      access: { file: "access/access.json" },
      rateLimit: { perSecond: 100 },
      audit: { path: "data/audit.log" },
    });
    const mounts = services[name]?.volumes ?? [];
    expect(mounts).toContain("../access:/app/access:ro");
    // A volume of this node alone: two nodes in one audit log would break its chain.
    expect(mounts).toContain(name.endsWith("scalable") ? "/app/data" : `${name}-data:/app/data`);
  });

  it("what .env leaves empty is taken from .env.node1, and what it sets wins over that", () => {
    const line = "AUTH_MODE=keys\nAPI_KEYS=admin=0123456789abcdef\nRATE_LIMIT_PER_SECOND=7\n";
    const withLine: Files = (path) => `${read(path)}${path === ".env.node1" ? line : ""}`;
    const { config } = configOf("node1", compose({ RATE_LIMIT_PER_SECOND: "9" }), withLine);
    expect(config).toMatchObject({ access: { keys: [{ role: "admin", key: "0123456789abcdef" }] }, rateLimit: { perSecond: 9 } });
  });

  it("Prometheus shows its key, by a setting", () => {
    expect(services["prometheus"]?.volumes).toContain("./monitoring/scrape.token:/etc/prometheus/scrape.token:ro");
    const { prometheus } = compose({ METRICS_TOKEN_FILE: "../access/scrape.token" }).services;
    expect(prometheus?.volumes).toContain("../access/scrape.token:/etc/prometheus/scrape.token:ro");
    for (const file of ["prometheus.yml", "prometheus.tls.yml"]) {
      const { scrape_configs: jobs } = parse(read(`docker/monitoring/${file}`)) as { scrape_configs: readonly object[] };
      expect(jobs[0]).toMatchObject({ job_name: "trivet", authorization: { credentials_file: "scrape.token" } });
    }
    // The one that is tracked is nobody's key.
    expect(read("docker/monitoring/scrape.token")).toBe("none\n");
  });

  it("Prometheus looks for every node at the port it listens on", () => {
    const { scrape_configs: jobs } = parse(read("docker/monitoring/prometheus.yml")) as {
      scrape_configs: readonly { dns_sd_configs?: readonly { names: readonly string[]; port: number }[] }[];
    };
    const sought = jobs.flatMap(({ dns_sd_configs: entries = [] }) =>
      entries.flatMap(({ names, port }) => names.map((name) => [name, port] as const)),
    );
    expect(new Map(sought)).toEqual(new Map(nodes.map((name) => [name, configOf(name).config.http.port])));
    expect(sought).toHaveLength(nodes.length);
  });
});

describe("docker/docker-compose.tls.yml", () => {
  const overlayText = read("docker/docker-compose.tls.yml");
  const overlay = (parse(overlayText.replaceAll(/\$\{([A-Z_]+):-([^}]*)\}/g, "$2"), { merge: true }) as Compose).services;
  /** Both files as Compose puts them together. */
  const together: Compose = {
    ...compose(),
    services: Object.fromEntries(
      Object.entries(services).map(([name, service]) => [
        name,
        { ...service, ...overlay[name], environment: { ...service.environment, ...overlay[name]?.environment } },
      ]),
    ),
  };

  it("needs no .env, and names services that there are", () => {
    for (const [variable] of overlayText.matchAll(/\$\{[^}]*\}/g)) expect(variable).toMatch(/^\$\{[A-Z_]+:-/);
    expect(Object.keys(overlay).filter((name) => !(name in services))).toEqual([]);
    expect(Object.keys(overlay)).toEqual(expect.arrayContaining(nodes));
  });

  it.each(["node1", "node2", "node3", ...split])("%s has TLS, with the certificate of its own name, and its address says so", (name) => {
    const { config, warnings } = configOf(name, together);
    expect(warnings).toEqual([]);
    const { nodeId } = config;
    expect(config.tls).toEqual({
      clients: "anyone",
      certFile: `/certs/${nodeId}.crt`,
      keyFile: `/certs/${nodeId}.key`,
      caFile: "/certs/ca.crt",
    });
    expect(config.advertiseUrl).toMatch(/^https:/);
    expect(config.peers.every(({ url }) => url.startsWith("https:"))).toBe(true);
    expect(overlay[name]?.volumes).toContain("../certs:/certs:ro");
  });

  it("the certificates are those of certs/, whatever .env says for nodes without containers", () => {
    const names = {
      CERT_FILE: "certs/a.crt",
      KEY_FILE: "certs/a.key",
      CA_FILE: "certs/b.crt",
      CERT_PATH: "mine/",
      ENABLE_ENCRYPTION: "false",
    };
    const using = compose(names);
    const environment = { ...using.services["node1"]?.environment, ...overlay["node1"]?.environment };
    const { config } = configOf("node1", { ...using, services: { node1: { ...(using.services["node1"] as Service), environment } } });
    expect(config.tls).toMatchObject({ certFile: "/certs/node1.crt", keyFile: "/certs/node1.key", caFile: "/certs/ca.crt" });
    // Without them TLS that is asked for is refused, and not left out.
    expect(() => configOf("node_lock_1", compose({ ENABLE_ENCRYPTION: "true" }))).toThrow(/CERT_FILE/);
  });

  it("gen_certs.sh --compose makes a certificate for each of them, and for nobody else", () => {
    const script = read("scripts/gen-certs.mjs");
    expect(script).toMatch(/"node1",\s+"node2",\s+"node3",/);
    expect(script).toMatch(
      /\["lock", "queue", "cache"\]\.flatMap\(\(role\) => \[1, 2, 3\]\.map\(\(number\) => `node_\$\{role\}_\$\{number\}`\)\)/,
    );
  });

  it("Prometheus asks the same nodes at the same ports, over TLS, by the names of their certificates", () => {
    interface Job {
      readonly scheme?: string;
      readonly tls_config?: object;
      readonly dns_sd_configs?: readonly { readonly names: readonly string[]; readonly port: number }[];
      readonly relabel_configs?: readonly { readonly target_label: string; readonly replacement?: string; readonly regex?: string }[];
    }
    const jobsOf = (file: string): readonly Job[] => (parse(read(file)) as { scrape_configs: readonly Job[] }).scrape_configs;
    const soughtBy = ([job]: readonly Job[]): readonly string[] =>
      (job?.dns_sd_configs ?? []).flatMap(({ names, port }) => names.map((name) => `${name}:${port}`));
    const [plain, secured] = [jobsOf("docker/monitoring/prometheus.yml"), jobsOf("docker/monitoring/prometheus.tls.yml")];
    expect(soughtBy(secured)).toEqual(soughtBy(plain).filter((target) => !target.includes("scalable")));
    expect(secured[0]).toMatchObject({ scheme: "https", tls_config: { ca_file: "/certs/ca.crt", min_version: "TLS13" } });
    const address = secured[0]?.relabel_configs?.find(({ target_label }) => target_label === "__address__");
    const [, name, port] = new RegExp(`^${address?.regex}$`).exec("node_lock_1;172.18.0.5:8000") ?? [];
    expect(`${name}:${port}`).toBe("node_lock_1:8000");
    expect(overlay["prometheus"]?.volumes).toContain("./monitoring/prometheus.tls.yml:/etc/prometheus/prometheus.yml:ro");
  });
});

describe("docker/Dockerfile.node", () => {
  const dockerfile = read("docker/Dockerfile.node");

  it("installs from the lockfile with every workspace in place", () => {
    const { workspaces } = JSON.parse(read("package.json")) as { workspaces: readonly string[] };
    for (const workspace of workspaces) expect(dockerfile).toContain(`COPY ${workspace}/package.json ${workspace}/`);
    // What the build copies is not kept back from it.
    const ignored = read(".dockerignore").split("\n");
    for (const [, source] of dockerfile.matchAll(/^COPY (?!--from)(\S+)/gm)) {
      const top = (source ?? "").split("/")[0] ?? "";
      expect(
        ignored.some(
          (line) => line === `!${top}` || line.startsWith(`!${top}/`) || (top.startsWith("tsconfig") && line === "!tsconfig*.json"),
        ),
        source,
      ).toBe(true);
    }
  });

  it("runs as a user without rights, in exec form, with a health check of our own and curl", () => {
    expect(dockerfile).toMatch(/^FROM node:24-bookworm-slim AS build$/m);
    expect(dockerfile.split("FROM node:24-bookworm-slim\n")).toHaveLength(2);
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toMatch(/^ENTRYPOINT \["node", .*"\/app\/packages\/cli\/bundle\/main\.js"\]$/m);
    expect(dockerfile).toMatch(/^CMD \["serve"\]$/m);
    expect(dockerfile).toMatch(/CMD \["node", "--", "\/app\/packages\/cli\/bundle\/main\.js", "health"\]/);
    expect(dockerfile).toMatch(/apt-get install -y --no-install-recommends curl/);
  });
});
