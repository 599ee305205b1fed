import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { call, expectStatus, type Answer, type CallOptions, type Json } from "./http.ts";
import { createNetwork, type TestHost, type TestNetwork } from "./networks.ts";
import { freePorts, start, trivet, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

/** One node as a process of its own, as an operator would run it: `trivet serve` and an environment. */
export interface TestNode {
  readonly id: string;
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** Its own network, where the cluster was created with one. */
  readonly host: TestHost | null;
  /** Starts the process; with other settings when given. */
  start(env?: Readonly<Record<string, string>>, args?: readonly string[]): Started;
  process(): Started;
  isRunning(): boolean;
  wasStarted(): boolean;
  /** Ends it without warning and waits until it is gone. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
  /** SIGTERM: drain and stop. Gives the exit code. */
  stop(): Promise<number | null>;
  call(path: string, options?: CallOptions): Promise<Answer>;
  status(): Promise<Json>;
  waitUntilHealthy(deadlineMs?: number): Promise<void>;
}

export interface TestCluster {
  readonly nodes: readonly TestNode[];
  readonly folder: string;
  /** Throws where the nodes share this machine's loopback. */
  network(): TestNetwork;
  node(id: string): TestNode;
  /** A node that is not in the member list of the others' environment. */
  addNode(env?: Readonly<Record<string, string>>): Promise<TestNode>;
  startAll(): void;
  /** Waits until all running nodes name one leader among them, and gives it. */
  leader(deadlineMs?: number): Promise<TestNode>;
  followers(): Promise<readonly TestNode[]>;
  running(): readonly TestNode[];
  /** Kills everything and removes the folder. After a failed test it first shows what the nodes said. */
  destroy(test?: FinishedTest): Promise<void>;
}

/** What vitest hands to `afterEach`. */
export interface FinishedTest {
  readonly task: { readonly result?: { readonly state: string } | undefined };
}

export interface ClusterOptions {
  readonly nodes: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Every node in a network namespace of its own, so that what is between them can be cut. */
  readonly network?: boolean;
}

/** A cluster that is not started yet. */
export async function createCluster(options: ClusterOptions): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), "trivet-e2e-"));
  const network = options.network === true ? await createNetwork(folder, options.nodes) : null;
  const places: readonly Place[] =
    network?.hosts.map((host) => ({ port: host.outsidePort, host })) ??
    (await freePorts(options.nodes)).map((port) => ({ port, host: null }));
  const peers = places.map(({ port, host }, index) => `node${index + 1}=${host?.url ?? `http://127.0.0.1:${port}`}`).join(",");
  const base = { ...options.env, LOG_DIR: join(folder, "logs") };
  const nodes = places.map((place, index) => createNode(folder, `node${index + 1}`, place, { ...base, PEERS: peers }));
  const running = (): readonly TestNode[] => nodes.filter((node) => node.isRunning());

  const cluster: TestCluster = {
    nodes,
    folder,
    network: () => {
      if (!network) throw new Error("this cluster was created without networks");
      return network;
    },
    node: (id) => {
      const found = nodes.find((node) => node.id === id);
      if (!found) throw new Error(`no node ${id}`);
      return found;
    },
    addNode: async (env = {}) => {
      const [port] = await freePorts(1);
      if (port === undefined) throw new Error("no free port");
      const node = createNode(folder, `node${nodes.length + 1}`, { port, host: null }, { ...base, ...env });
      nodes.push(node);
      return node;
    },
    startAll: () => nodes.forEach((node) => void node.start()),
    running,
    leader: (deadlineMs = 30_000) => agreedLeader(nodes, running, deadlineMs),
    followers: async () => {
      const leader = await cluster.leader();
      return running().filter((node) => node !== leader);
    },
    destroy: async (test) => {
      if (test?.task.result?.state === "fail") console.error(await lastWords(nodes));
      await Promise.all(nodes.map((node) => node.kill()));
      await network?.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return cluster;
}

/** A started cluster with a leader. */
export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const cluster = await createCluster(options);
  try {
    cluster.startAll();
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    await cluster.leader();
    await shardsLed(cluster.nodes);
    return cluster;
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
}

/** Status and last lines of every node, for the reader of a failed test. */
async function lastWords(nodes: readonly TestNode[]): Promise<string> {
  const parts = await Promise.all(
    nodes.map(async (node) => {
      const status = node.isRunning() ? await node.status().then(JSON.stringify, String) : "not running";
      const lines = node.wasStarted() ? node.process().output().trimEnd().split("\n").slice(-40).join("\n  ") : "never started";
      return `── ${node.id} ──\n  ${status}\n  ${lines}`;
    }),
  );
  return parts.join("\n");
}

/** What a test does to a cluster is done to a whole one: each shard has a leader. */
async function shardsLed(nodes: readonly TestNode[]): Promise<void> {
  await waitFor("every shard to be led", async () => {
    const [ring, ...all] = await Promise.all([nodes[0]?.call("/v1/ring"), ...nodes.map((node) => node.status())]);
    if (ring?.status !== 200) return ring?.text ?? "no nodes";
    const shards = ring.body["shards"] as readonly Json[];
    if (ring.body["backend"] === "embedded" && shards.length === 0) return "not placed yet";
    const led = new Set(
      all.flatMap(({ groups }) => (groups as readonly Json[]).flatMap(({ group, role }) => (role === "leader" ? [group] : []))),
    );
    const missing = shards.filter(({ shard }) => !led.has(shard)).map(({ shard }) => Number(shard));
    return missing.length === 0 ? ready(true) : `without a leader: ${missing.join(", ")}`;
  });
}

async function agreedLeader(nodes: readonly TestNode[], running: () => readonly TestNode[], deadlineMs: number): Promise<TestNode> {
  return waitFor(
    "one leader that all running nodes name",
    async () => {
      const alive = running();
      const views = await Promise.all(alive.map((node) => node.status()));
      const names = new Set(views.map((view) => view["leader"]));
      const leader = nodes.find((node) => names.has(node.id));
      const own = views.find((view) => view["node_id"] === leader?.id);
      if (names.size === 1 && leader && own?.["role"] === "leader") return ready(leader);
      return JSON.stringify(views.map(({ node_id, role, leader, term }) => ({ node_id, role, leader, term })));
    },
    { deadlineMs },
  );
}

/** Where a node runs, and the port of 127.0.0.1 at which the test reaches it. */
interface Place {
  readonly port: number;
  readonly host: TestHost | null;
}

function createNode(folder: string, id: string, { port, host }: Place, env: Readonly<Record<string, string>>): TestNode {
  const url = `http://127.0.0.1:${port}`;
  const dataDir = env["DATA_DIR"] ?? join(folder, "data", id);
  let started: Started | null = null;
  const own = (): Started => {
    if (!started) throw new Error(`${id} was never started`);
    return started;
  };
  const node: TestNode = {
    id,
    url,
    port,
    dataDir,
    host,
    start: (other = {}, args = []) => {
      if (started && !started.hasExited()) throw new Error(`${id} is running already`);
      const listen = host ? { HTTP_HOST: host.address, HTTP_PORT: new URL(host.url).port } : { HTTP_PORT: String(port) };
      const settings = { NODE_ID: id, ...listen, DATA_DIR: dataDir, ...env, ...other };
      const command: readonly string[] = [trivet, "serve", ...args];
      const [program, line] = host?.inside(process.execPath, command) ?? [process.execPath, command];
      started = start(program, line, { cwd: folder, env: settings });
      return started;
    },
    process: own,
    wasStarted: () => started !== null,
    isRunning: () => started !== null && !started.hasExited(),
    kill: async () => {
      if (!started || started.hasExited()) return;
      started.signal("SIGKILL");
      await started.exited;
    },
    pause: () => own().signal("SIGSTOP"),
    resume: () => own().signal("SIGCONT"),
    stop: async () => {
      own().signal("SIGTERM");
      return (await own().exited).code;
    },
    call: (path, options = {}) => call(`${url}${path}`, options),
    status: async () => (await expectStatus(200, `${url}/v1/raft/status`, { timeoutMs: 2_000 })).body,
    waitUntilHealthy: async (deadlineMs = 30_000) => {
      await waitFor(
        `${id} to be healthy`,
        async () => {
          if (own().hasExited()) throw new Error(`it ended; it printed:\n${own().output().slice(-4_000)}`);
          const answer = await call(`${url}/health`, { timeoutMs: 2_000 });
          return answer.status === 200 ? ready(true) : `${answer.status} ${answer.text}`;
        },
        { deadlineMs },
      );
    },
  };
  return node;
}
