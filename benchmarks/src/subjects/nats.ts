import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tailOf, type Started } from "../processes.ts";
import { freePorts, waitFor } from "../waiting.ts";
import type { Leadership, RunningNode, RunningSubject, Subject, SubjectContext } from "./subject.ts";

const startMs = 60_000;
const requestMs = 2000;

/** The parts of `GET /jsz?accounts=true&streams=true` that are used here. */
interface JetStreamStatus {
  readonly meta_cluster?: {
    readonly leader?: string;
    readonly cluster_size?: number;
    readonly replicas?: readonly { readonly current: boolean }[];
  };
  readonly account_details?: readonly { readonly stream_detail?: readonly StreamDetail[] }[];
}
interface StreamDetail {
  readonly name: string;
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly current: boolean }[] };
}

function streamsOf({ account_details: accounts }: JetStreamStatus): readonly StreamDetail[] {
  return (accounts ?? []).flatMap(({ stream_detail: detail }) => detail ?? []);
}

/** The Raft group of the cluster itself and those of its streams. */
function groupsOf(status: JetStreamStatus): readonly StreamDetail["cluster"][] {
  return [status.meta_cluster, ...streamsOf(status).map(({ cluster }) => cluster)];
}

class NatsNode implements RunningNode {
  readonly name: string;
  readonly url: string;
  readonly #monitor: string;
  readonly #context: SubjectContext;
  readonly #config: string;
  process: Started;

  constructor(context: SubjectContext, name: string, ports: { readonly client: number; readonly monitor: number }, config: string) {
    this.#context = context;
    this.name = name;
    this.url = `nats://127.0.0.1:${ports.client}`;
    this.#monitor = `http://127.0.0.1:${ports.monitor}`;
    this.#config = join(context.directory, `${name}.conf`);
    writeFileSync(this.#config, config);
    this.process = this.#launch();
  }

  #launch(): Started {
    const { keeper, directory } = this.#context;
    return keeper.start("nats-server", ["-c", this.#config], { name: `nats ${this.name}`, logPath: join(directory, `${this.name}.out`) });
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

  async #get(path: string): Promise<Response> {
    if (!this.#context.keeper.isRunning(this.process)) throw new Error(`${this.name} ended: ${tailOf(this.process.logPath)}`);
    return fetch(`${this.#monitor}${path}`, { signal: AbortSignal.timeout(requestMs) });
  }

  /** Its JetStream is up and its replicas have caught up. */
  async isHealthy(): Promise<boolean> {
    const response = await this.#get("/healthz");
    await response.arrayBuffer();
    return response.ok;
  }

  async status(): Promise<JetStreamStatus> {
    return (await (await this.#get("/jsz?accounts=true&streams=true")).json()) as JetStreamStatus;
  }
}

/** Two numbers of one machine's loopback per node: clients and monitoring; a third for the routes between them. */
function configOf(context: SubjectContext, name: string, ports: readonly number[], routes: readonly string[], always: boolean): string {
  const [client, monitor, cluster] = ports;
  return [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${client}"`,
    `http: "127.0.0.1:${monitor}"`,
    `jetstream { store_dir: ${JSON.stringify(join(context.directory, name))}, max_memory_store: 1GB, max_file_store: 100GB`,
    ...(always ? ["  sync_interval: always"] : []),
    "}",
    `cluster { name: benchmark, listen: "127.0.0.1:${cluster}", routes: [${routes.map((route) => JSON.stringify(route)).join(", ")}] }`,
    "",
  ].join("\n");
}

async function start(context: SubjectContext, always: boolean): Promise<RunningSubject> {
  const ports = await freePorts(9);
  const names = ["n1", "n2", "n3"];
  const portsOf = (index: number): number[] => ports.slice(index * 3, index * 3 + 3);
  const routes = names.map((_, index) => `nats-route://127.0.0.1:${portsOf(index)[2]}`);
  const nodes = names.map((name, index) => {
    const [client = 0, monitor = 0] = portsOf(index);
    return new NatsNode(context, name, { client, monitor }, configOf(context, name, portsOf(index), routes, always));
  });
  const leadership = async (): Promise<Leadership> =>
    waitFor("nats names a leader", startMs, async () => {
      const answers = await Promise.allSettled(nodes.map((node) => node.status()));
      for (const answer of answers) {
        const leader = answer.status === "fulfilled" ? answer.value.meta_cluster?.leader : undefined;
        // Its terms are not shown: a change back to the same leader goes unseen.
        if (leader !== undefined && leader !== "") return { leader, term: names.indexOf(leader) };
      }
      return null;
    });
  const healthy = async (timeoutMs: number): Promise<void> => {
    await waitFor("all nats nodes are healthy and follow one leader", timeoutMs, async () => {
      const ready = await Promise.all(nodes.map((node) => node.isHealthy()));
      const statuses = await Promise.all(nodes.map((node) => node.status()));
      const leaders = new Set(statuses.map(({ meta_cluster: meta }) => meta?.leader ?? ""));
      const [leader = ""] = leaders;
      if (!ready.every(Boolean) || leaders.size !== 1 || leader === "") return null;
      // Only a leader knows how far the others are; what a follower says about them is stale.
      const led = statuses.flatMap((status, index) => groupsOf(status).filter((group) => group?.leader === names[index]));
      const streams = new Set(statuses.flatMap(streamsOf).map(({ name }) => name)).size;
      const caughtUp = led.every((group) => (group?.replicas ?? []).every(({ current }) => current));
      return led.length === streams + 1 && caughtUp ? true : null;
    });
  };
  await healthy(startMs);
  return {
    nodes,
    leadership,
    healthy,
    participants: () => Promise.resolve(nodes.map(({ pid }) => ({ role: "node" as const, pid }))),
    fsyncs: () => Promise.resolve(null),
    queueLeader: (queue) =>
      waitFor(`nats names the leader of ${queue}`, startMs, async () => {
        const answers = await Promise.allSettled(nodes.map((node) => node.status()));
        const streams = answers.flatMap((answer) => (answer.status === "fulfilled" ? streamsOf(answer.value) : []));
        const leader = streams.find(({ name, cluster }) => name === queue && (cluster?.leader ?? "") !== "")?.cluster?.leader;
        return leader ?? null;
      }),
    target: () => Promise.resolve({ kind: "nats", urls: nodes.map(({ url }) => url) }),
    stop: () => Promise.all(nodes.map((node) => context.keeper.stop(node.process))).then(() => undefined),
  };
}

const common = {
  services: ["queues"],
  queues: { consumes: true, keys: false, groups: true, aliases: false },
  cache: null,
  transport: "nats",
  wire: "nats.js at the leader of the stream, confirmed acks",
  failsOver: true,
  keepsLocks: false,
  collectable: false,
  http: false,
} as const;

/** JetStream as it comes. */
export const nats: Subject = {
  ...common,
  name: "nats",
  durability: "JetStream R3 in files, default: a majority of 3 has written it, acknowledged BEFORE any fsync (every 2 minutes)",
  start: (context) => start(context, false),
};

/** JetStream as durable as the others. Servers before 2.10 do not know the setting. */
export const natsAlways: Subject = {
  ...common,
  name: "nats-always",
  durability: "JetStream R3 in files, sync_interval: always: fsync on a majority of 3 before the answer",
  start: (context) => start(context, true),
};
