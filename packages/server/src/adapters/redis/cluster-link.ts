import { createCluster } from "@redis/client";
import type { Timer } from "@trivet/engine";
import { connectionOptions, replyTypes, retryPause, socketOptions } from "./client-options.ts";
import { redisLimits } from "./limits.ts";
import {
  fateOf,
  isLetGo,
  isMoving,
  LinkDown,
  reasonOf,
  type RedisArguments,
  type RedisLink,
  type Sender,
  Silence,
  textOf,
  within,
} from "./link.ts";
import { addressesOf, type RedisOptions } from "./options.ts";
import type { LinkTools } from "./server-link.ts";

type Cluster = ReturnType<typeof createCluster>;
type NodeClient = Awaited<ReturnType<Cluster["getNodeClientForKey"]>>;

/**
 * A Redis Cluster: one connection per primary, found and followed by the client. Some nodes may be away while others answer; it counts as lost until
 * every primary answers.
 */
export class ClusterLink implements RedisLink {
  private readonly options: RedisOptions;
  private readonly tools: LinkTools;
  private cluster: Cluster | null = null;
  private readonly onConnect: (client: NodeClient) => Promise<void>;
  private readonly senders: WeakMap<NodeClient, Sender> = new WeakMap();
  /** Connections on which `onConnect` has run, or does. */
  private readonly prepared: WeakMap<NodeClient, Promise<void>> = new WeakMap();
  private reason = "not connected yet";
  private tries = 0;
  private timer: Timer | null = null;
  private closed = false;
  private isDown = true;
  private attempt: Promise<void> = Promise.resolve();

  /** `onConnect` runs on each new connection before commands of ours are sent over it. */
  constructor(options: RedisOptions, tools: LinkTools, onConnect: (client: NodeClient) => Promise<void> = async () => undefined) {
    this.options = options;
    this.tools = tools;
    this.onConnect = onConnect;
    this.attempt = this.connect();
  }

  /** Follows a slot that moves; while its keys are on their way it waits for them. */
  async send(route: string, args: RedisArguments): Promise<unknown> {
    const { clock } = this.tools;
    for (const until = clock.now() + redisLimits.slotMoveMs; ;) {
      const cluster = this.current();
      try {
        if (route !== "") await this.prepare(await cluster.getNodeClientForKey(route, false));
        return await cluster.sendCommand(route, false, [...args], replyTypes);
      } catch (error) {
        this.look(error);
        if (!isMoving(error) || clock.now() >= until) throw error;
      }
      await new Promise<void>((resolve) => void clock.schedule(redisLimits.slotPauseMs, resolve));
    }
  }

  async pinned(route: string): Promise<Sender> {
    // A link that has only just been asked for is not one that is down.
    if (this.cluster === null && this.tries === 0) await this.attempt;
    const cluster = this.current();
    try {
      const client = await cluster.getNodeClientForKey(route, false);
      await this.prepare(client);
      const sender = this.senders.get(client) ?? { send: (args) => this.sendOn(client, args) };
      this.senders.set(client, sender);
      return sender;
    } catch (error) {
      this.look(error);
      throw new LinkDown(reasonOf(error));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    this.cluster?.destroy();
    this.cluster = null;
    await this.attempt;
  }

  /** At the first command to a node, and again after its connection was made anew. Never rejects: what ails the connection the command itself finds out. */
  private prepare(client: NodeClient): Promise<void> {
    const known = this.prepared.get(client);
    if (known !== undefined) return known;
    const made = within(this.tools.clock, redisLimits.silenceMs, this.onConnect(client)).catch(() => undefined);
    this.prepared.set(client, made);
    client.once("ready", () => this.prepared.delete(client));
    return made;
  }

  private async sendOn(client: NodeClient, args: RedisArguments): Promise<unknown> {
    try {
      return await client.sendCommand(args, replyTypes);
    } catch (error) {
      this.look(error);
      throw error;
    }
  }

  private current(): Cluster {
    if (this.cluster === null) throw new LinkDown(`${addressesOf(this.options)}: ${this.reason}`);
    return this.cluster;
  }

  private readonly connectAgain = (): void => {
    this.attempt = this.connect();
  };

  private async connect(): Promise<void> {
    const cluster = this.open();
    cluster.on("error", () => undefined);
    try {
      await within(this.tools.clock, redisLimits.silenceMs, cluster.connect());
    } catch (error) {
      discard(cluster);
      return this.again(error, this.connectAgain);
    }
    if (this.closed) return discard(cluster);
    this.cluster = cluster;
    await this.ask();
  }

  /** Every primary answers, and none of them sees the cluster as down. */
  private async examine(cluster: Cluster): Promise<void> {
    const { clock } = this.tools;
    await Promise.all(
      cluster.masters.map(async (node) => {
        const client = await within(clock, redisLimits.silenceMs, cluster.nodeClient(node));
        const about = await within(clock, redisLimits.silenceMs, client.sendCommand(["CLUSTER", "INFO"]));
        if (!textOf(about).includes("cluster_state:ok")) throw new LinkDown("CLUSTERDOWN The cluster is down");
      }),
    );
  }

  /** A command failed: is it the cluster that is away? */
  private look(error: unknown): void {
    if (isLetGo(error)) return;
    const fate = fateOf(error);
    const isAway = fate === "unsent" || fate === "lost" || (error instanceof Error && error.message.startsWith("CLUSTERDOWN"));
    if (isAway && !this.isDown) this.missing(error);
  }

  private missing(error: unknown): void {
    this.isDown = true;
    this.again(error, this.probe);
  }

  private readonly probe = (): void => {
    this.attempt = this.ask();
  };

  private async ask(): Promise<void> {
    const { cluster } = this;
    if (cluster === null) return;
    try {
      await this.examine(cluster);
      this.found();
    } catch (error) {
      if (!(error instanceof Silence) || this.closed) return this.missing(error);
      // A node that is stopped, or behind a broken network, closes nothing: all is found anew, for another may have taken its place.
      this.isDown = true;
      this.cluster = null;
      discard(cluster);
      this.again(error, this.connectAgain);
    }
  }

  private found(): void {
    if (this.closed) return;
    this.tries = 0;
    this.timer = this.tools.clock.schedule(redisLimits.pingMs, this.probe);
    if (!this.isDown) return;
    this.isDown = false;
    this.tools.watcher.up();
  }

  private again(error: unknown, run: () => void): void {
    if (this.closed) return;
    this.reason = reasonOf(error);
    this.tools.watcher.down(this.reason);
    this.timer?.cancel();
    this.timer = this.tools.clock.schedule(retryPause(this.tries++, this.tools.random), run);
  }

  private open(): Cluster {
    const { options, tools } = this;
    const reconnectStrategy = (retries: number): number => retryPause(retries, tools.random);
    return createCluster({
      rootNodes: options.nodes.map((address) => ({ socket: { ...socketOptions(options, address), reconnectStrategy: false } })),
      defaults: { ...connectionOptions(options), socket: { ...socketOptions(options, null), reconnectStrategy } },
      // A node that does not answer must not keep the others away.
      minimizeConnections: true,
      topologyRefreshOnReconnectionAttemptStrategy: redisLimits.retryAfterMs,
    });
  }
}

function discard(cluster: Cluster): void {
  if (cluster.isOpen) cluster.destroy();
}
