import { LockBusy, freeByTrying, type Granted, type HolderClient, type LockClient, type Released } from "../driver/lock-client.ts";
import { requirePeer } from "./peer-modules.ts";

/** Deletes the lock only while it still carries the token of the caller that acquired it. */
const compareAndDelete = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;
const leaseMs = 30_000;
/** How the widespread clients (redlock) wait: ask again every 200 ms, give or take 100. */
const retryMs = 200;
const retryJitterMs = 100;

interface CommandParser {
  pushKey(key: string): void;
  push(value: string): void;
}
interface RedisConnection {
  connect(): Promise<unknown>;
  set(
    key: string,
    value: string,
    options: { readonly condition: "NX"; readonly expiration: { type: "PX"; value: number } },
  ): Promise<unknown>;
  releaseLock(key: string, token: string): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): void;
  close(): Promise<void>;
}
interface RedisModule {
  createClient(this: void, options: { readonly url: string; readonly scripts: Record<string, unknown> }): RedisConnection;
  defineScript(
    this: void,
    script: {
      readonly SCRIPT: string;
      readonly NUMBER_OF_KEYS: number;
      parseCommand(parser: CommandParser, key: string, token: string): void;
      transformReply(reply: unknown): unknown;
    },
  ): unknown;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** `SET NX PX` and a compare-and-delete script over one connection of @redis/client, which pipelines the calls of a turn by itself. */
export class RedisClient implements LockClient {
  readonly holders: HolderClient;
  readonly #connection: RedisConnection;
  #tokens = 0;

  private constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.holders = {
      open: () => Promise.resolve(),
      hold: (_session, name, done) => {
        this.#set(name, 3_600_000, 0, done);
      },
      isFree: (name) => freeByTrying(this, 0, name),
    };
  }

  static async connect(url: string): Promise<RedisClient> {
    const { createClient, defineScript } = requirePeer("@redis/client") as RedisModule;
    const releaseLock = defineScript({
      SCRIPT: compareAndDelete,
      NUMBER_OF_KEYS: 1,
      parseCommand(parser, key, token) {
        parser.pushKey(key);
        parser.push(token);
      },
      transformReply: (reply) => reply,
    });
    const connection = createClient({ url, scripts: { releaseLock } });
    connection.on("error", (error) => {
      process.stderr.write(`redis: ${error.message}\n`);
    });
    await connection.connect();
    return new RedisClient(connection);
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  acquire(_caller: number, name: string, waitMs: number, done: Granted): void {
    this.#set(name, leaseMs, performance.now() + waitMs, done);
  }

  #set(name: string, ttlMs: number, until: number, done: Granted): void {
    this.#tokens++;
    const token = `${process.pid}-${this.#tokens}`;
    this.#connection.set(name, token, { condition: "NX", expiration: { type: "PX", value: ttlMs } }).then(
      (reply) => {
        if (reply !== null) {
          done(null, token);
          return;
        }
        const pause = retryMs + (Math.random() * 2 - 1) * retryJitterMs;
        if (performance.now() + pause > until) {
          done(new LockBusy(`${name} is held`), null);
          return;
        }
        setTimeout(() => {
          this.#set(name, ttlMs, until, done);
        }, pause);
      },
      (error: unknown) => {
        done(asError(error), null);
      },
    );
  }

  release(_caller: number, name: string, handle: unknown, done: Released): void {
    this.#connection.releaseLock(name, handle as string).then(
      (deleted) => {
        done(deleted === 1 ? null : new Error(`${name} was not held any more`));
      },
      (error: unknown) => {
        done(asError(error));
      },
    );
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
