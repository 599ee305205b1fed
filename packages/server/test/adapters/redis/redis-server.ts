import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@redis/client";

export function hasProgram(name: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, name)));
}

/** Tests of Redis are skipped, named and counted, where there is none. */
export const hasRedis: boolean = hasProgram("redis-server");

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** Asks again until `look` gives something; how long is left to the test's own limit. */
export async function until<T>(look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A real server in a directory of its own, on a port of its own; killed by its process id. */
export class RedisServer {
  readonly port: number;
  private readonly directory: string = mkdtempSync(join(tmpdir(), "trivet-redis-"));
  private readonly args: readonly string[];
  private process: ChildProcess | null = null;

  constructor(port: number, args: readonly string[] = []) {
    this.port = port;
    this.args = args;
  }

  static async start(args: readonly string[] = []): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args);
    await server.start();
    return server;
  }

  /** Ready when it answers. */
  async start(): Promise<void> {
    const common = ["--port", String(this.port), "--dir", this.directory, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"];
    const args = this.args[0] === "--sentinel" ? [join(this.directory, "sentinel.conf"), "--sentinel", ...this.args.slice(1)] : this.args;
    const all = this.args[0] === "--sentinel" ? [...args, "--port", String(this.port), "--dir", this.directory] : [...common, ...args];
    const child = spawn("redis-server", all, { stdio: "ignore" });
    this.process = child;
    // Should the tests be ended from outside, no server stays behind.
    const end = (): void => void child.kill("SIGKILL");
    process.once("exit", end);
    child.once("exit", () => process.off("exit", end));
    await new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
      return this.ask("PING").then(
        () => true,
        (error: unknown) => String(error).includes("NOAUTH"),
      );
    });
  }

  /** A path in its directory. */
  file(name: string): string {
    return join(this.directory, name);
  }

  signal(signal: NodeJS.Signals): void {
    this.process?.kill(signal);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** One command over a connection of its own. */
  async ask(...command: string[]): Promise<unknown> {
    const client = createClient({ RESP: 2, socket: { host: "127.0.0.1", port: this.port, reconnectStrategy: false } });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return await client.sendCommand(command);
    } finally {
      client.destroy();
    }
  }
}
