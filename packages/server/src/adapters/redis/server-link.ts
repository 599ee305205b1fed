import { createClient } from "@redis/client";
import type { Clock, Timer } from "@trivet/engine";
import { tooOld } from "./advice.ts";
import { connectionOptions, replyTypes, retryPause, socketOptions } from "./client-options.ts";
import {
  isDemoted,
  LinkDown,
  type LinkWatcher,
  reasonOf,
  type RedisArguments,
  type RedisLink,
  type Sender,
  textOf,
  within,
} from "./link.ts";
import { redisLimits } from "./limits.ts";
import { addressesOf, type RedisAddress, type RedisOptions } from "./options.ts";

type Client = ReturnType<typeof createClient>;

/** What a link needs beside the options. */
export interface LinkTools {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly watcher: LinkWatcher;
}

/**
 * One connection to the server that takes writes: the one that is named, or the one that the sentinels name, asked anew at every attempt. The client's
 * own reconnection is off, because it would knock at the old address for ever.
 */
export class ServerLink implements RedisLink {
  private readonly options: RedisOptions;
  private readonly tools: LinkTools;
  private readonly onConnect: (client: Client) => Promise<void>;
  private client: Client | null = null;
  private readonly senders: WeakMap<Client, Sender> = new WeakMap();
  private reason = "not connected yet";
  private tries = 0;
  private timer: Timer | null = null;
  private closed = false;
  private attempt: Promise<void> = Promise.resolve();

  /** `onConnect` runs on each new connection before it is used. */
  constructor(options: RedisOptions, tools: LinkTools, onConnect: (client: Client) => Promise<void> = async () => undefined) {
    this.options = options;
    this.tools = tools;
    this.onConnect = onConnect;
    this.attempt = this.connect();
  }

  async send(_route: string, args: RedisArguments): Promise<unknown> {
    return this.sendOn(this.current(), args);
  }

  async pinned(): Promise<Sender> {
    // A link that has only just been asked for is not one that is down.
    if (this.client === null && this.tries === 0) await this.attempt;
    const client = this.current();
    const sender = this.senders.get(client) ?? { send: (args) => this.sendOn(client, args) };
    this.senders.set(client, sender);
    return sender;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    this.client?.destroy();
    this.client = null;
    await this.attempt;
  }

  private current(): Client {
    if (this.client === null) throw new LinkDown(`${addressesOf(this.options)}: ${this.reason}`);
    return this.client;
  }

  private async sendOn(client: Client, args: RedisArguments): Promise<unknown> {
    try {
      return await client.sendCommand(args, replyTypes);
    } catch (error) {
      if (isDemoted(error)) this.lose(client, error);
      throw error;
    }
  }

  /** Never throws: a failed attempt is followed by the next. */
  private async connect(): Promise<void> {
    let client: Client | null = null;
    try {
      const address = await this.address();
      if (this.closed) return;
      client = open(this.options, address, this.options.database);
      const mine = client;
      client.on("error", (error: unknown) => this.lose(mine, error));
      await client.connect();
      await within(this.tools.clock, redisLimits.silenceMs, this.prepare(client));
      if (!client.isReady) throw new LinkDown("the connection ended");
    } catch (error) {
      if (client !== null) discard(client);
      return this.again(error);
    }
    if (this.closed) return discard(client);
    this.client = client;
    this.tries = 0;
    this.listen(client);
    this.tools.watcher.up();
  }

  /** A server that is stopped, or behind a broken network, closes nothing: whoever does not answer a ping is lost. */
  private listen(client: Client): void {
    const { clock } = this.tools;
    this.timer = clock.schedule(redisLimits.pingMs, () => {
      if (this.client !== client) return;
      within(clock, redisLimits.silenceMs, client.sendCommand(["PING"])).then(
        () => this.client === client && this.listen(client),
        (error: unknown) => this.lose(client, error),
      );
    });
  }

  private async prepare(client: Client): Promise<void> {
    await this.examine(client);
    // A user that may not ask goes without; then the first script tells.
    const info = await client.sendCommand(["INFO", "server"]).catch(() => "");
    const problem = tooOld(textOf(info));
    if (problem !== null) throw new LinkDown(problem);
    await this.onConnect(client);
  }

  /** A server that is loading its data, or has become a replica, is not there yet. */
  private async examine(client: Client): Promise<void> {
    if (this.options.mode === "standalone") {
      await client.sendCommand(["PING"]);
      return;
    }
    const reply = await client.sendCommand<unknown[]>(["ROLE"]);
    const [role] = reply;
    if (String(role) !== "master") throw new LinkDown(`the server that the sentinels name is a ${String(role)}`);
  }

  private lose(client: Client, error: unknown): void {
    if (this.client !== client) return;
    this.client = null;
    this.timer?.cancel();
    discard(client);
    this.again(error);
  }

  private again(error: unknown): void {
    if (this.closed) return;
    this.reason = reasonOf(error);
    this.tools.watcher.down(this.reason);
    this.timer = this.tools.clock.schedule(retryPause(this.tries++, this.tools.random), () => {
      this.attempt = this.connect();
    });
  }

  private async address(): Promise<RedisAddress> {
    const { mode, nodes } = this.options;
    const first = nodes[this.tries % nodes.length];
    if (first === undefined) throw new LinkDown("no address of Redis is given");
    if (mode !== "sentinel") return first;
    return askSentinel(this.options, first);
  }
}

/** Where the primary is, as one sentinel knows it. */
async function askSentinel(options: RedisOptions, sentinel: RedisAddress): Promise<RedisAddress> {
  const client = open({ ...options, username: options.sentinelUsername, password: options.sentinelPassword }, sentinel, 0);
  client.on("error", () => undefined);
  try {
    await client.connect();
    const reply = await client.sendCommand<(string | Buffer)[] | null>(["SENTINEL", "get-master-addr-by-name", options.primaryName]);
    if (reply === null) throw new LinkDown(`the sentinel at ${sentinel.host}:${sentinel.port} knows no ${options.primaryName}`);
    const [host, port] = reply.map(String);
    return { host: host ?? "", port: Number(port) };
  } finally {
    discard(client);
  }
}

function open(options: RedisOptions, address: RedisAddress, database: number): Client {
  const socket = { ...socketOptions(options, address), reconnectStrategy: false as const };
  return createClient({ ...connectionOptions(options), socket, database }) as unknown as Client;
}

function discard(client: Client): void {
  if (client.isOpen) client.destroy();
}
