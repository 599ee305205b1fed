import { freePort, RedisServer, until } from "./redis-server.ts";

// A node that gives its last slot away would become a replica of the one that took it, and could be given none again.
const keepsEmpty = ["--cluster-allow-replica-migration", "no"];
const isCluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];
const slots = 16_384;

/** Where the move of a slot stands; a test may act at each of these points. */
export type MovePhase = "announced" | "half" | "moved" | "owned";

/** Real servers that form a Redis Cluster; the slots are spread over the first ones. */
export class RedisCluster {
  readonly servers: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  /** `owners` of the servers get slots, all when it is not given. */
  static async start(count: number, owners: number = count): Promise<RedisCluster> {
    const servers: RedisServer[] = [];
    for (let at = 0; at < count; at++)
      servers.push(await RedisServer.start([...isCluster, ...keepsEmpty, "--cluster-port", String(await freePort())]));
    const [first] = servers;
    for (const [at, server] of servers.entries()) {
      const [from, to] = [at, at + 1].map((part) => Math.ceil((slots * part) / owners));
      if (at < owners) await server.ask("CLUSTER", "ADDSLOTSRANGE", String(from), String((to ?? 0) - 1));
      await server.ask("CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
      if (first === undefined || server === first) continue;
      const bus = /@(\d+)/.exec(String(await server.ask("CLUSTER", "NODES")))?.[1] ?? "";
      await first.ask("CLUSTER", "MEET", "127.0.0.1", String(server.port), bus);
    }
    for (const server of servers) {
      await until(async () => String(await server.ask("CLUSTER", "INFO")).includes(`cluster_known_nodes:${count}`));
      await until(async () => String(await server.ask("CLUSTER", "INFO")).includes("cluster_state:ok"));
      await until(async () => ((await server.ask("CLUSTER", "SLOTS")) as unknown[]).length === owners);
    }
    return new RedisCluster(servers);
  }

  get nodes(): readonly { readonly host: string; readonly port: number }[] {
    return this.servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  }

  async stop(): Promise<void> {
    for (const server of this.servers) await server.stop();
  }

  async slotOf(key: string): Promise<number> {
    return Number(await this.servers[0]?.ask("CLUSTER", "KEYSLOT", key));
  }

  /** Who owns the slot, as that server itself says. */
  async ownerOf(slot: number): Promise<RedisServer> {
    for (const server of this.servers) {
      const own = /^\S+ \S+ myself,\S+ .*$/m.exec(String(await server.ask("CLUSTER", "NODES")))?.[0] ?? "";
      const ranges = own.split(" ").slice(8);
      const has = ranges.some((range) => {
        const [from = Number.NaN, to = from] = range.split("-").map(Number);
        return slot >= from && slot <= to;
      });
      if (has) return server;
    }
    throw new Error(`nobody owns slot ${slot}`);
  }

  async keysIn(server: RedisServer, slot: number): Promise<number> {
    return Number(await server.ask("CLUSTER", "COUNTKEYSINSLOT", String(slot)));
  }

  /** As redis-cli does it: announced on both, the keys one by one, the new owner told first. `at` runs between the steps. */
  async move(slot: number, to: RedisServer, at: (phase: MovePhase) => Promise<void> = async () => undefined): Promise<void> {
    const from = await this.ownerOf(slot);
    const [source, target] = await Promise.all([from, to].map((server) => server.ask("CLUSTER", "MYID").then(String)));
    await to.ask("CLUSTER", "SETSLOT", String(slot), "IMPORTING", source ?? "");
    await from.ask("CLUSTER", "SETSLOT", String(slot), "MIGRATING", target ?? "");
    await at("announced");
    const before = await this.keysIn(from, slot);
    for (let told = false; ;) {
      const [key] = (await from.ask("CLUSTER", "GETKEYSINSLOT", String(slot), "1")) as string[];
      if (key === undefined) break;
      await from.ask("MIGRATE", "127.0.0.1", String(to.port), key, "0", "5000");
      if (told || (await this.keysIn(from, slot)) > before / 2) continue;
      told = true;
      await at("half");
    }
    await at("moved");
    await to.ask("CLUSTER", "SETSLOT", String(slot), "NODE", target ?? "");
    await from.ask("CLUSTER", "SETSLOT", String(slot), "NODE", target ?? "");
    await at("owned");
  }
}
