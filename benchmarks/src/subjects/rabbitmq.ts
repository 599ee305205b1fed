import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { tailOf, type Started } from "../processes.ts";
import { freePorts, waitFor } from "../waiting.ts";
import type { Leadership, RunningNode, RunningSubject, Subject, SubjectContext } from "./subject.ts";

const startMs = 180_000;
const toolMs = 60_000;
/** Debian's wrapper on the PATH changes the user and loses the process; this is the program behind it. */
const folder = "/usr/lib/rabbitmq/bin";
const server = `${folder}/rabbitmq-server`;
const tool = `${folder}/rabbitmqctl`;
/** Erlang's own name service must not outlive the run, nor meet another one: it gets a port of its own. */
const nameService = "epmd";

interface QueueRow {
  readonly name: string;
  readonly leader?: string;
  readonly online?: readonly string[];
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const settle = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => {
      settle(true);
    });
    socket.once("error", () => {
      settle(false);
    });
  });
}

class RabbitNode implements RunningNode {
  readonly name: string;
  readonly url: string;
  readonly #port: number;
  readonly #context: SubjectContext;
  readonly #env: Readonly<Record<string, string>>;
  process: Started;

  constructor(context: SubjectContext, name: string, port: number, env: Readonly<Record<string, string>>) {
    this.#context = context;
    this.name = name;
    this.#port = port;
    this.url = `amqp://guest:guest@127.0.0.1:${port}`;
    this.#env = env;
    this.process = this.#launch();
  }

  #launch(): Started {
    const { keeper, directory } = this.#context;
    const logPath = join(directory, `${this.name}.out`);
    return keeper.start(server, [], { name: `rabbitmq ${this.name}`, logPath, cwd: directory, env: this.#env, bareEnvironment: true });
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

  async isListening(): Promise<boolean> {
    if (!this.#context.keeper.isRunning(this.process)) throw new Error(`${this.name} ended: ${tailOf(this.process.logPath)}`);
    return answers(this.#port);
  }

  /** Asks this node by RabbitMQ's own tool. */
  async ask(args: readonly string[]): Promise<unknown> {
    if (!this.#context.keeper.isRunning(this.process)) throw new Error(`${this.name} is not running`);
    const { PATH = "" } = process.env;
    const options = { env: { ...this.#env, PATH }, cwd: this.#context.directory, timeout: toolMs };
    const { stdout } = await promisify(execFile)(tool, ["-n", this.name, "--quiet", ...args, "--formatter", "json"], options);
    return JSON.parse(stdout) as unknown;
  }
}

/** The shell around the server replaces itself by it when it believes to run under systemd, so that the pid is the server's. */
function environmentOf(
  context: SubjectContext,
  name: string,
  ports: { readonly client: number; readonly peers: number; readonly names: number },
): Record<string, string> {
  const base = join(context.directory, name);
  mkdirSync(base, { recursive: true });
  return {
    HOME: context.directory,
    RUNNING_UNDER_SYSTEMD: "true",
    RABBITMQ_NODENAME: name,
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_NODE_PORT: String(ports.client),
    RABBITMQ_DIST_PORT: String(ports.peers),
    RABBITMQ_MNESIA_BASE: join(base, "data"),
    RABBITMQ_LOG_BASE: base,
    RABBITMQ_LOGS: "-",
    RABBITMQ_CONFIG_FILE: join(context.directory, "rabbitmq.conf"),
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    RABBITMQ_ENABLED_PLUGINS_FILE: join(context.directory, "enabled_plugins"),
    RABBITMQ_GENERATED_CONFIG_DIR: join(base, "config"),
    RABBITMQ_PID_FILE: join(base, "pid"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
    ERL_EPMD_PORT: String(ports.names),
    ERL_EPMD_ADDRESS: "127.0.0.1",
  };
}

async function start(context: SubjectContext): Promise<RunningSubject> {
  if (!existsSync(server)) throw new Error(`${server} does not exist: this harness knows Debian's package only`);
  const { keeper, directory } = context;
  const ports = await freePorts(7);
  const [names = 0] = ports.slice(6);
  const ids = ["rabbit1@localhost", "rabbit2@localhost", "rabbit3@localhost"];
  const peers = ids.map((id, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${id}`);
  const formation = "cluster_formation.peer_discovery_backend = rabbit_peer_discovery_classic_config";
  writeFileSync(join(directory, "rabbitmq.conf"), [formation, ...peers, "cluster_partition_handling = pause_minority", ""].join("\n"));
  writeFileSync(join(directory, "enabled_plugins"), "[].\n");
  const cookie = join(directory, ".erlang.cookie");
  writeFileSync(cookie, `benchmark${process.pid}`, { mode: 0o400 });
  const nameServer = keeper.start(nameService, ["-port", String(names), "-address", "127.0.0.1"], {
    name: nameService,
    logPath: join(directory, "epmd.out"),
  });
  await waitFor("epmd listens", startMs, async () => ((await answers(names)) ? true : null));
  const nodes: RabbitNode[] = [];
  for (const [index, id] of ids.entries()) {
    const [client = 0, dist = 0] = ports.slice(index * 2);
    const node = new RabbitNode(context, id, client, environmentOf(context, id, { client, peers: dist, names }));
    nodes.push(node);
    // One after the other: nodes that are born together may each found a cluster of their own.
    await waitFor(`${id} listens`, startMs, async () => ((await node.isListening()) ? true : null), 250);
  }
  const queues = async (): Promise<readonly QueueRow[]> => {
    for (const node of nodes) {
      try {
        return (await node.ask(["list_queues", "name", "leader", "online"])) as readonly QueueRow[];
      } catch (error) {
        process.stderr.write(`rabbitmq: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
    return [];
  };
  const healthy = async (timeoutMs: number): Promise<void> => {
    await waitFor(
      "all rabbitmq nodes listen and every queue has its replicas",
      timeoutMs,
      async () => {
        const listening = await Promise.all(nodes.map((node) => node.isListening()));
        if (!listening.every(Boolean)) return null;
        const answer = (await nodes[0]?.ask(["cluster_status"])) as { readonly running_nodes: readonly string[] };
        if (answer.running_nodes.length !== nodes.length) return null;
        return (await queues()).every(({ online }) => (online ?? []).length === nodes.length) ? true : null;
      },
      250,
    );
  };
  await healthy(startMs);
  return {
    nodes,
    leadership: (): Promise<Leadership | null> => Promise.resolve(null),
    healthy,
    participants: () => Promise.resolve(nodes.map(({ pid }) => ({ role: "node" as const, pid }))),
    fsyncs: () => Promise.resolve(null),
    queueLeader: (queue) =>
      waitFor(`rabbitmq names the leader of ${queue}`, startMs, async () => {
        const leader = (await queues()).find(({ name }) => name.startsWith(`${queue}.`))?.leader ?? "";
        return leader === "" ? null : leader;
      }),
    target: () => Promise.resolve({ kind: "rabbitmq", urls: nodes.map(({ url }) => url) }),
    stop: async () => {
      // Nothing is kept, and a graceful stop of three takes half a minute.
      for (const node of nodes) await node.kill();
      await keeper.stop(nameServer);
    },
  };
}

/** A quorum queue on three nodes. */
export const rabbitmq: Subject = {
  name: "rabbitmq",
  services: ["queues"],
  queues: { consumes: true, keys: false, groups: true, aliases: false },
  cache: null,
  durability: "quorum queue on 3 nodes, publisher confirms: fsync on a majority before the confirm; acks are not confirmed",
  transport: "amqp",
  wire: "amqplib at the leader of the queue, a channel for producing and one for each consumer",
  failsOver: true,
  keepsLocks: false,
  collectable: false,
  http: false,
  start,
};
