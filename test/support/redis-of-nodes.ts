import { join } from "node:path";
import { freePorts, run } from "./processes.ts";
import { newRedisFolder, startRedis, type RedisSettings, type TestRedis } from "./redis.ts";
import { askAsAdmin, envOfUser, ruleOfNodes, usersOf } from "./redis-users.ts";
import { ready, waitFor } from "./wait.ts";

/** Where queues are kept, and what nodes are told of it. */
export interface RedisOfNodes {
  readonly servers: readonly TestRedis[];
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const always = ["appendonly yes", "appendfsync always"];

export async function startPlainRedis(): Promise<RedisOfNodes> {
  const redis = await startRedis({ lines: always });
  return { servers: [redis], env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` }, stop: () => redis.stop() };
}

/** TLS and nothing else, with an authority of its own; nodes are a user with a password. */
export async function startSecuredRedis(): Promise<RedisOfNodes> {
  const folder = newRedisFolder();
  const [port = 0] = await freePorts(1);
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(folder, name)) as [string, string];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const pair = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert];
  const made = await run("openssl", ["req", "-x509", ...pair, ...subject], { cwd: folder });
  if (made.code !== 0) throw new Error(made.output);
  const tls = [`tls-port ${port}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`, "tls-auth-clients no"];
  const asker = ["--tls", "--cacert", cert, ...askAsAdmin];
  const redis = await startRedis({ port, folder, asker, lines: [...always, ...tls, ...usersOf(ruleOfNodes)] });
  return {
    servers: [redis],
    env: { REDIS_URL: `rediss://127.0.0.1:${port}`, REDIS_TLS_CA_FILE: cert, ...envOfUser },
    stop: () => redis.stop(),
  };
}

const ofCluster = ["cluster-enabled yes", "cluster-node-timeout 2000", "cluster-require-full-coverage no"];

/** A Redis Cluster of three, each with a third of the slots; nodes are a user with a password. */
export async function startRedisCluster(): Promise<RedisOfNodes> {
  const servers: TestRedis[] = [];
  const stop = async (): Promise<void> => {
    for (const server of servers.splice(0)) await server.stop();
  };
  try {
    const ports = await freePorts(6);
    for (const [at, port] of ports.slice(0, 3).entries()) {
      const users = usersOf(`${ruleOfNodes} +cluster|slots +cluster|info`);
      const settings: RedisSettings = {
        port,
        asker: askAsAdmin,
        lines: [...always, ...ofCluster, `cluster-port ${ports[3 + at]}`, ...users],
      };
      servers.push(await startRedis(settings));
    }
    const [first] = servers;
    if (first === undefined) throw new Error("no server");
    const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
    const made = await first.ask("--cluster", "create", ...addresses, "--cluster-yes");
    for (const server of servers) {
      await waitFor("the cluster to stand", async () => {
        const about = await server.ask("CLUSTER", "INFO");
        return about.includes("cluster_state:ok") && about.includes("cluster_known_nodes:3") ? ready(true) : `${made}\n${about}`;
      });
    }
    return { servers, env: { REDIS_NODES: addresses.join(","), ...envOfUser }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
