import { connect } from "node:net";
import { join } from "node:path";
import { freePorts, waitFor } from "../waiting.ts";
import { tailOf, type Started } from "../processes.ts";
import type { RunningNode, RunningSubject, Subject, SubjectContext } from "./subject.ts";

const startMs = 60_000;

/** One inline command, enough to know that the server serves. */
function ping(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1000, () => socket.destroy(new Error("no answer to PING")));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

/** When the server brings its file to the disk: before it answers, or every second. */
export type AppendFsync = "always" | "everysec";

/** A server that answers. */
export interface RedisServer {
  readonly port: number;
  readonly node: RunningNode;
  healthy(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

export async function launchRedis(context: SubjectContext, appendFsync: AppendFsync): Promise<RedisServer> {
  const [port = 0] = await freePorts(1);
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", context.directory, "--save", ""];
  const durable = ["--appendonly", "yes", "--appendfsync", appendFsync];
  const launch = (): Started =>
    context.keeper.start("redis-server", [...args, ...durable], { name: "redis", logPath: join(context.directory, "redis.out") });
  let server = launch();
  const healthy = async (timeoutMs: number): Promise<void> => {
    await waitFor("redis answers PING", timeoutMs, async () => {
      if (!context.keeper.isRunning(server)) throw new Error(`redis ended: ${tailOf(server.logPath)}`);
      return (await ping(port)).startsWith("+PONG") ? true : null;
    });
  };
  await healthy(startMs);
  const node = {
    name: "redis",
    get pid() {
      return server.pid;
    },
    kill: () => context.keeper.kill(server),
    restart: () => {
      server = launch();
    },
  };
  return { port, node, healthy, stop: () => context.keeper.stop(server) };
}

/** One server that is as durable as one can be, for its own commands or for what is built on them. */
export async function startRedis(context: SubjectContext, kind: "redis" | "bullmq" | "node-redis"): Promise<RunningSubject> {
  const server = await launchRedis(context, "always");
  const { node, port } = server;
  return {
    nodes: [node],
    leadership: () => Promise.resolve(null),
    healthy: (timeoutMs) => server.healthy(timeoutMs),
    participants: () => Promise.resolve([{ role: "node", pid: node.pid }]),
    // Redis 7 has no counter of its fsync calls.
    fsyncs: () => Promise.resolve(null),
    queueLeader: () => Promise.resolve(null),
    target: () => Promise.resolve({ kind, urls: [`redis://127.0.0.1:${port}`] }),
    stop: () => server.stop(),
  };
}

/** One Redis, as durable as one Redis can be: what teams replace when they come to Trivet. */
export const redis: Subject = {
  name: "redis",
  services: ["locks", "queues", "cache"],
  queues: { consumes: true, keys: false, groups: true, aliases: false },
  cache: { copies: false, shared: true },
  durability: "1 node, not replicated, fsync before the answer (appendfsync always)",
  transport: "resp",
  wire: "RESP, @redis/client pipelining",
  failsOver: false,
  keepsLocks: true,
  collectable: false,
  http: false,
  start: (context) => startRedis(context, "redis"),
};
