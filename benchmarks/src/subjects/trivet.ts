import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bytesOnDisk } from "../measure/folder.ts";
import { counterIn } from "../measure/prometheus.ts";
import { siblingModule } from "../modules.ts";
import { tailOf, type Started } from "../processes.ts";
import { freePorts, waitFor } from "../waiting.ts";
import type { Leadership, RunningSubject, Subject, SubjectContext, Vitals } from "./subject.ts";
import { loopDelayIn, vitalsIn } from "./trivet-vitals.ts";

const startMs = 60_000;
const requestMs = 2000;
/** A page that nobody waits for any more has taken the loop's delay with it, and it is late just when that was long. */
const pageMs = 60_000;
/** The built command of this repository: what is measured is what people start. */
const program = fileURLToPath(new URL("../../../packages/cli/bundle/main.js", import.meta.url));
/** As its first line starts it. */
const [, flags = ""] =
  /node(.*) --$/.exec(readFileSync(new URL("../../../packages/cli/bin/trivet.mjs", import.meta.url), "utf8").split("\n")[0] ?? "") ?? [];
const engineFlags = flags.split(" ").filter((flag) => flag !== "");

/** The part of `GET /v1/raft/status` that is used here. */
interface RaftStatus {
  readonly role: string;
  readonly term: number;
  readonly leader: string | null;
  readonly peers: readonly { readonly connected: boolean; readonly lag: number }[];
}

/** Entries a follower may be behind and still count as caught up, while clients keep writing. */
const caughtUpLag = 100;

class TrivetNode {
  readonly name: string;
  readonly url: string;
  readonly #context: SubjectContext;
  readonly #env: Readonly<Record<string, string>>;
  #loopDelayMs = 0;
  process: Started;

  constructor(context: SubjectContext, name: string, url: string, env: Readonly<Record<string, string>>) {
    this.#context = context;
    this.name = name;
    this.url = url;
    this.#env = env;
    this.process = this.#launch();
  }

  #launch(): Started {
    const { keeper, directory, collectable } = this.#context;
    const collector = collectable === true ? ["--import", siblingModule(import.meta.url, "../collect-on-signal").href] : [];
    return keeper.start(process.execPath, [...engineFlags, ...collector, "--", program, "serve"], {
      name: `trivet ${this.name}`,
      logPath: join(directory, `${this.name}.out`),
      // A `.env` in the caller's folder describes another cluster.
      cwd: directory,
      env: this.#env,
      bareEnvironment: true,
    });
  }

  get pid(): number {
    return this.process.pid;
  }

  kill(): Promise<void> {
    return this.#context.keeper.kill(this.process);
  }

  restart(): void {
    this.process = this.#launch();
  }

  async #get(path: string, timeoutMs = requestMs): Promise<Response> {
    if (!this.#context.keeper.isRunning(this.process)) throw new Error(`${this.name} ended: ${tailOf(this.process.logPath)}`);
    return fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(timeoutMs) });
  }

  /** Whoever asks for the page, the delay it tells is kept for `vitals`: it is told once. */
  async #metrics(): Promise<string> {
    const response = await this.#get("/v1/metrics", pageMs);
    if (!response.ok) throw new Error(`metrics: status ${response.status} from ${this.name}`);
    const page = await response.text();
    this.#loopDelayMs = Math.max(this.#loopDelayMs, loopDelayIn(page));
    return page;
  }

  async vitals(): Promise<Vitals> {
    const vitals = vitalsIn(await this.#metrics());
    const loopDelayMs = this.#loopDelayMs;
    this.#loopDelayMs = 0;
    return { ...vitals, loopDelayMs };
  }

  storedBytes(): number {
    return bytesOnDisk(join(this.#context.directory, this.name, "shards"));
  }

  async status(): Promise<RaftStatus> {
    const response = await this.#get("/v1/raft/status");
    if (!response.ok) throw new Error(`status ${response.status} from ${this.name}`);
    return (await response.json()) as RaftStatus;
  }

  async isReady(): Promise<boolean> {
    const response = await this.#get("/v1/health/ready");
    await response.arrayBuffer();
    return response.ok;
  }

  async queueLeader(queue: string): Promise<string | null> {
    const response = await this.#get(`/v1/queues/${queue}`);
    if (!response.ok) throw new Error(`queue ${queue}: status ${response.status} from ${this.name}`);
    const { partitions } = (await response.json()) as { readonly partitions: readonly { readonly leader: string | null }[] };
    return partitions[0]?.leader ?? null;
  }

  /** Null: it is dead, and its counter with it. */
  async fsyncs(): Promise<number | null> {
    if (!this.#context.keeper.isRunning(this.process)) return null;
    const page = await this.#metrics();
    const name = "wal_fsync_duration_seconds_count";
    return counterIn(page, `trivet_${name}`) ?? counterIn(page, name);
  }
}

class Cluster implements RunningSubject {
  readonly nodes: readonly TrivetNode[];
  readonly #context: SubjectContext;

  constructor(context: SubjectContext, nodes: readonly TrivetNode[]) {
    this.#context = context;
    this.nodes = nodes;
  }

  leadership(): Promise<Leadership> {
    return waitFor("trivet names a leader", startMs, async () => {
      const answers = await Promise.allSettled(this.nodes.map((node) => node.status()));
      const statuses = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
      const newest = statuses.filter(({ leader }) => leader !== null).sort((a, b) => b.term - a.term)[0];
      return newest?.leader === null || newest?.leader === undefined ? null : { leader: newest.leader, term: newest.term };
    });
  }

  async healthy(timeoutMs: number): Promise<void> {
    await waitFor("all trivet nodes are ready and follow one leader", timeoutMs, async () => {
      const ready = await Promise.all(this.nodes.map((node) => node.isReady()));
      const statuses = await Promise.all(this.nodes.map((node) => node.status()));
      const leader = statuses.find(({ role }) => role === "leader");
      if (leader === undefined || !ready.every(Boolean)) return null;
      const agreed = statuses.every((status) => status.leader === leader.leader && status.term === leader.term);
      const complete = leader.peers.length === this.nodes.length - 1;
      const caughtUp = leader.peers.every(({ connected, lag }) => connected && lag <= caughtUpLag);
      return agreed && complete && caughtUp ? true : null;
    });
  }

  async participants(): ReturnType<RunningSubject["participants"]> {
    const { leader } = await this.leadership();
    return this.nodes.map(({ name, pid }) => ({ role: name === leader ? "leader" : "follower", pid }));
  }

  async fsyncs(): Promise<number | null> {
    const counts = await Promise.all(this.nodes.map((node) => node.fsyncs()));
    return counts.reduce((sum, count) => (sum === null || count === null ? null : sum + count), 0);
  }

  queueLeader(queue: string): Promise<string> {
    return waitFor(`trivet names the leader of ${queue}`, startMs, async () => {
      for (const node of this.nodes) {
        const leader = await node.queueLeader(queue);
        if (leader !== null) return leader;
      }
      return null;
    });
  }

  async target(transport: "native" | "http"): ReturnType<RunningSubject["target"]> {
    const { leader } = await this.leadership();
    const first = this.nodes.filter(({ name }) => name === leader);
    const others = this.nodes.filter(({ name }) => name !== leader);
    return { kind: transport === "http" ? "trivet-http" : "trivet", urls: [...first, ...others].map(({ url }) => url) };
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.#context.keeper.stop(node.process)));
  }
}

/** Three nodes on their default settings, but for `settings`. */
export async function startTrivet(context: SubjectContext, settings: Readonly<Record<string, string>> = {}): Promise<RunningSubject> {
  if (!existsSync(program)) throw new Error(`${program} does not exist; run npm run build`);
  const ports = await freePorts(3);
  const ids = ["node1", "node2", "node3"];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const peers = ids.map((id, index) => `${id}=${urls[index]}`).join(",");
  const nodes = ids.map((id, index) => {
    const url = urls[index] ?? "";
    const place = { NODE_ID: id, HTTP_HOST: "127.0.0.1", HTTP_PORT: String(ports[index]), ADVERTISE_URL: url, PEERS: peers };
    return new TrivetNode(context, id, url, { ...place, DATA_DIR: join(context.directory, id), ...settings });
  });
  const cluster = new Cluster(context, nodes);
  await cluster.healthy(startMs);
  return cluster;
}

/** Ours: three nodes of the built command on their default settings. */
export const trivet: Subject = {
  name: "trivet",
  services: ["locks", "queues", "cache"],
  queues: { consumes: true, keys: true, groups: true, aliases: true },
  cache: { copies: true, shared: true },
  durability: "fsync on a majority of 3 before the answer",
  transport: "stream",
  wire: "WebSocket stream of the SDK at the leader, batches; and plain HTTP",
  failsOver: true,
  keepsLocks: true,
  collectable: true,
  http: true,
  start: (context) => startTrivet(context),
};
