import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/index.ts";
import { given } from "./given.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const text = (file: string): string => readFileSync(join(root, file), "utf8");
const load = (file: string, argv: readonly string[] = []) =>
  loadConfig(given({ argv: ["--env-file", file, ...argv], files: { [file]: text(file) } }));
const urls = (peers: readonly { readonly url: string }[]): readonly string[] => peers.map(({ url }) => url);

describe("the files of one node of one type (S1)", () => {
  const first = { lock: 8001, queue: 9101, cache: 10_001 } as const;
  const roles = ["lock", "queue", "cache"] as const;
  const rows = roles.flatMap((role) => [1, 2, 3].map((number) => ({ role, number, file: `${role}_node${number}.env` })));

  test.each(rows)("$file", ({ role, number, file }) => {
    const { config, warnings } = load(file, ["--node-type", role]);
    expect(warnings).toEqual([]);
    const ports = [0, 1, 2].map((step) => first[role] + step);
    expect(config).toMatchObject({ nodeId: `${role}_node${number}`, roles: [role], http: { port: first[role] + number - 1 } });
    expect(urls(config.peers)).toEqual(ports.filter((port) => port !== config.http.port).map((port) => `http://localhost:${port}`));
    for (const other of roles.filter((each) => each !== role)) {
      expect(urls(config.elsewhere[other])).toEqual([0, 1, 2].map((step) => `http://localhost:${first[other] + step}`));
    }
    expect(config.queues.redis?.nodes ?? null).toEqual(role === "queue" ? [{ host: "localhost", port: 6379 }] : null);
  });

  test("the type in the file is the one its name says, also without the flag", () => {
    for (const { role, file } of rows) expect(load(file).config.roles).toEqual([role]);
  });
});

test.each([1, 2, 3])(".env.node%i is S0's", (number) => {
  const { config } = load(`.env.node${number}`);
  expect(config).toMatchObject({
    nodeId: `node${number}`,
    http: { port: 8000 + number },
    self: { url: `http://node${number}:800${number}` },
  });
  expect(urls(config.peers)).toEqual(["http://node1:8001", "http://node2:8002", "http://node3:8003"]);
  expect(config.queues).toMatchObject({ backend: "redis", redis: { nodes: [{ host: "redis", port: 6379 }] } });
});

describe("the sample of .env", () => {
  test("has both of its names", () => {
    expect(text(".env.example")).toBe(text("env.example"));
  });

  test("has the lines of S4's sample, with its values", () => {
    const lines = text("env.example").split("\n");
    for (const line of [
      "NODE_ID=node1",
      "PEERS=node1,node2,node3",
      "HTTP_PORT=8000",
      "REDIS_URL=redis://redis:6379/0",
      "CACHE_CAPACITY=100",
      "ENABLE_METRICS=true",
      "LOG_LEVEL=INFO",
      "HEARTBEAT_INTERVAL=1.0",
      "HEARTBEAT_TIMEOUT=3.0",
    ])
      expect(lines).toContain(line);
  });

  test("is accepted as it stands, and with each line that is a comment", () => {
    const sample = text("env.example");
    expect(loadConfig(given({ files: { ".env": sample } })).config).toMatchObject({ nodeId: "node1", http: { port: 8000 } });
    const opened = sample.replaceAll(/^#(?=(?:RAFT_PEERS|QUEUE_NODES|CACHE_PEERS|SHARED_MAC_KEY)=)/gm, "");
    const { config } = loadConfig(given({ files: { ".env": opened } }));
    expect(urls(config.peers)).toEqual([1, 2, 3].map((number) => `http://node_lock_${number}:8000`));
    expect(urls(config.elsewhere.queue)).toEqual([1, 2, 3].map((number) => `http://node_queue_${number}:8000`));
  });
});

test("no sample file holds a secret", () => {
  const samples = readdirSync(root).filter((file) => /^\.?env\.example$|^\.env\.node\d$|_node\d\.env$/.test(file));
  expect(samples).toHaveLength(14);
  for (const file of samples) expect(text(file), file).not.toMatch(/^[A-Z_]*(?:KEY|SECRET|PASSWORD|TOKEN)[A-Z_]*=./m);
});
