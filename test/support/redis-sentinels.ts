import { freePorts } from "./processes.ts";
import { startRedis, type TestRedis } from "./redis.ts";
import { askAsAdmin, envOfUser, ruleOfNodes, usersOf } from "./redis-users.ts";
import { ready, waitFor } from "./wait.ts";

/** How everybody proves who they are: to the two servers, and to the sentinels. */
export interface GuardedBy {
  /** Lines of a server. */
  readonly server: readonly string[];
  /** Lines of a sentinel; `queues` is the primary's name there. */
  readonly sentinel: readonly string[];
  /** Words by which redis-cli is let in. */
  readonly askServer: readonly string[];
  readonly askSentinel: readonly string[];
  /** What nodes are told. */
  readonly env: Readonly<Record<string, string>>;
}

/** One password for the servers, another one for the sentinels. */
export const guardedByPasswords: GuardedBy = {
  server: ["requirepass server-secret", "masterauth server-secret"],
  sentinel: ["sentinel auth-pass queues server-secret", "requirepass sentinel-secret"],
  askServer: ["-a", "server-secret"],
  askSentinel: ["-a", "sentinel-secret"],
  env: { REDIS_PASSWORD: "server-secret", REDIS_SENTINEL_PASSWORD: "sentinel-secret" },
};

/** A user for everybody, who may do no more than what it is for. */
export const guardedByUsers: GuardedBy = {
  server: [
    ...usersOf(`${ruleOfNodes} +role`),
    "user replica on >replica-secret +psync +replconf +ping",
    "user watcher on >watcher-secret allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill",
    "masteruser replica",
    "masterauth replica-secret",
  ],
  sentinel: [
    "sentinel auth-user queues watcher",
    "sentinel auth-pass queues watcher-secret",
    "user default off",
    "user admin on >admin-secret ~* &* +@all",
    "user finder on >finder-secret +@connection +sentinel|get-master-addr-by-name",
    "sentinel sentinel-user admin",
    "sentinel sentinel-pass admin-secret",
  ],
  askServer: askAsAdmin,
  askSentinel: askAsAdmin,
  env: { ...envOfUser, REDIS_SENTINEL_USERNAME: "finder", REDIS_SENTINEL_PASSWORD: "finder-secret" },
};

/** A primary, a replica, and three sentinels of which two decide. */
export interface TestSentinels {
  readonly env: Readonly<Record<string, string>>;
  /** As the sentinels say it now. */
  primary(): Promise<TestRedis>;
  /** The other one. */
  replica(): Promise<TestRedis>;
  /** Waits until the replica has everything that the primary has told it, and both are known to all sentinels. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

const downAfterMs = 1_000;

/** Of an answer with a name and a value on every two lines. */
function field(answer: string, name: string): string {
  const lines = answer.split("\n");
  return lines[lines.indexOf(name) + 1] ?? "";
}

export async function startSentinels(guard: GuardedBy): Promise<TestSentinels> {
  const all: TestRedis[] = [];
  const stop = async (): Promise<void> => {
    for (const server of all.splice(0)) await server.stop();
  };
  try {
    const begin = async (settings: Parameters<typeof startRedis>[0]): Promise<TestRedis> => {
      const server = await startRedis(settings);
      all.push(server);
      return server;
    };
    const lines = ["appendonly yes", "appendfsync always", "repl-diskless-sync-delay 0", ...guard.server];
    const first = await begin({ lines, asker: guard.askServer });
    const second = await begin({ lines: [...lines, `replicaof 127.0.0.1 ${first.port}`], asker: guard.askServer });
    const servers = [first, second];
    const sentinels: TestRedis[] = [];
    for (const port of await freePorts(3)) {
      const watched = [
        `sentinel monitor queues 127.0.0.1 ${first.port} 2`,
        `sentinel down-after-milliseconds queues ${downAfterMs}`,
        "sentinel failover-timeout queues 5000",
        ...guard.sentinel,
      ];
      sentinels.push(await begin({ port, lines: watched, asker: guard.askSentinel, isSentinel: true }));
    }
    const primary = async (): Promise<TestRedis> => {
      const said = await Promise.all(sentinels.map((sentinel) => sentinel.ask("SENTINEL", "get-master-addr-by-name", "queues")));
      const [address = ""] = said;
      const found = servers.find(({ port }) => address.split("\n")[1] === String(port));
      if (found === undefined || said.some((other) => other !== address)) throw new Error(`the sentinels say ${JSON.stringify(said)}`);
      return found;
    };
    const replica = async (): Promise<TestRedis> => {
      const other = await primary();
      return other === first ? second : first;
    };
    const sentinelsAgree = async (): Promise<string> => {
      const said = await Promise.all(sentinels.map((sentinel) => sentinel.ask("SENTINEL", "MASTER", "queues")));
      const wrong = said.filter(
        (text) => field(text, "num-slaves") !== "1" || field(text, "num-other-sentinels") !== "2" || field(text, "flags") !== "master",
      );
      return wrong.join("\n");
    };
    return {
      env: {
        REDIS_MODE: "sentinel",
        REDIS_NODES: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(","),
        REDIS_SENTINEL_PRIMARY: "queues",
        ...guard.env,
      },
      primary,
      replica,
      settled: async () => {
        await waitFor(
          "the replica to follow, and the sentinels to know it",
          async () => {
            const [from, to] = [await primary(), await replica()];
            const [sent, had] = await Promise.all([from, to].map((server) => server.ask("INFO", "replication")));
            const isFollowing = had?.includes(`master_port:${from.port}`) === true && had.includes("master_link_status:up");
            if (!isFollowing || sent?.includes("state=online") !== true) return `${sent}\n${had}`;
            const problem = await sentinelsAgree();
            return problem === "" ? ready(true) : problem;
          },
          { deadlineMs: 60_000, everyMs: 100 },
        );
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
