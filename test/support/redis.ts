import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, run, start, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

export const hasProgram = (name: string): boolean =>
  (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, name)));
/** Tests of Redis are skipped, named and counted, where there is none. */
export const hasRedis: boolean = hasProgram("redis-server");

/** A Redis of the test's own: a process, and a folder that outlives it. */
export interface TestRedis {
  readonly port: number;
  readonly folder: string;
  /** What redis-cli prints; it asks as the user of `asker`. */
  ask(...words: readonly string[]): Promise<string>;
  signal(signal: NodeJS.Signals): void;
  /** kill -9: what it wrote to its files stays. */
  kill(): Promise<void>;
  /** Starts it again on its port and its files; waits until it answers. */
  restart(): Promise<void>;
  /** Ends it for good. */
  stop(): Promise<void>;
}

export interface RedisSettings {
  readonly port?: number;
  /** Lines of its configuration beside port, address and folder; `appendonly yes` when not given. */
  readonly lines?: readonly string[];
  readonly isSentinel?: boolean;
  /** Words by which redis-cli may ask: a user, TLS. */
  readonly asker?: readonly string[];
  /** A folder that is there already, with what its configuration names. */
  readonly folder?: string;
}

/** A Redis that answers. */
export async function startRedis(settings: RedisSettings = {}): Promise<TestRedis> {
  const { asker = [], isSentinel = false, lines = ["appendonly yes"] } = settings;
  const port = settings.port ?? (await freePorts(1))[0];
  if (port === undefined) throw new Error("no free port");
  const folder = settings.folder ?? newRedisFolder();
  const file = join(folder, `redis-${port}.conf`);
  // With TLS it has its port by a line of its own.
  const listens = lines.some((line) => line.startsWith("tls-port ")) ? "port 0" : `port ${port}`;
  writeFileSync(file, [listens, "bind 127.0.0.1", `dir ${folder}`, ...(isSentinel ? [] : ['save ""']), ...lines, ""].join("\n"));
  let server: Started;
  const ask = async (...words: readonly string[]): Promise<string> =>
    (await run("redis-cli", ["--no-auth-warning", "-p", String(port), ...asker, ...words], { cwd: folder })).output.trim();
  const begin = async (): Promise<void> => {
    server = start("redis-server", isSentinel ? [file, "--sentinel"] : [file], { cwd: folder });
    await waitFor("redis-server to answer", async () => {
      if (server.hasExited()) throw new Error(`it ended; it printed:\n${server.output()}`);
      const said = await ask("PING");
      return said === "PONG" ? ready(true) : said;
    });
  };
  await begin();
  const kill = async (): Promise<void> => {
    server.signal("SIGKILL");
    await server.exited;
  };
  return {
    port,
    folder,
    ask,
    signal: (signal) => server.signal(signal),
    kill,
    restart: begin,
    stop: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const newRedisFolder = (): string => mkdtempSync(join(tmpdir(), "trivet-e2e-redis-"));
