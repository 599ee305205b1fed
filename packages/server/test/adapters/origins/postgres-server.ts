import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { freePort, until } from "../redis/redis-server.ts";

const debian = "/usr/lib/postgresql";

/** Where the server's programs are: on the path, or where Debian has them. */
function programs(): string | null {
  const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, "bin")) : [];
  const folders = [...(process.env["PATH"] ?? "").split(":"), ...versions];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres"))) ?? null;
}

const folder = programs();
/** Tests of PostgreSQL are skipped, named and counted, where there is none. */
export const hasPostgres: boolean = folder !== null;

/** PostgreSQL does not run as root: then as its own user. */
function identity(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const entry = /^(?:postgres|nobody):[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"));
  if (entry === null) throw new Error("neither postgres nor nobody is a user of this machine");
  return { uid: Number(entry[1]), gid: Number(entry[2]) };
}

const password = "s3cret of the tests";

/** A real server in a directory of its own, on a port of its own; killed by its process id. */
export class PostgresServer {
  readonly port: number;
  readonly url: string;
  private readonly directory: string = mkdtempSync(join(tmpdir(), "trivet-postgres-"));
  private readonly identity = identity();
  private process: ChildProcess | null = null;

  private constructor(port: number) {
    this.port = port;
    this.url = `postgresql://trivet:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
  }

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort());
    server.found();
    await server.start();
    return server;
  }

  private found(): void {
    const { directory } = this;
    const secret = join(directory, "password");
    writeFileSync(secret, password);
    const { gid, uid } = this.identity;
    for (const path of [directory, secret]) if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
    const args = [
      "-D",
      join(directory, "data"),
      "-U",
      "trivet",
      "-A",
      "scram-sha-256",
      `--pwfile=${secret}`,
      "-N",
      "-E",
      "UTF8",
      "--locale=C",
    ];
    execFileSync(join(folder ?? "", "initdb"), args, { stdio: "ignore", cwd: directory, ...this.identity });
  }

  /** Ready when it answers. */
  async start(): Promise<void> {
    const { directory, port } = this;
    const settings = ["listen_addresses=127.0.0.1", `unix_socket_directories=${directory}`, "fsync=off", "shared_buffers=16MB"];
    const args = ["-D", join(directory, "data"), "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
    const child = spawn(join(folder ?? "", "postgres"), args, { stdio: "ignore", cwd: directory, ...this.identity });
    this.process = child;
    // Should the tests be ended from outside, no server stays behind.
    const end = (): void => void child.kill("SIGQUIT");
    process.once("exit", end);
    child.once("exit", () => process.off("exit", end));
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
      return this.ask("SELECT 1").then(
        () => true,
        () => false,
      );
    });
  }

  /** At once, with all its processes. */
  async kill(): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGQUIT");
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A connection that the test ends. */
  async locker(): Promise<Client> {
    const client = new Client({ connectionString: this.url });
    await client.connect();
    return client;
  }

  /** Over a connection of its own. */
  async ask(text: string, values: readonly unknown[] = []): Promise<readonly unknown[]> {
    const client = new Client({ connectionString: this.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(text, [...values])).rows as readonly unknown[];
    } finally {
      await client.end();
    }
  }
}
