import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, run, start } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

/** Tests of Redis are skipped, named and counted, where there is none. */
export const hasRedis: boolean = (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, "redis-server")));

export interface TestRedis {
  readonly port: number;
  stop(): Promise<void>;
}

/** A Redis of the test's own, ready when it answers. */
export async function startRedis(): Promise<TestRedis> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("no free port");
  const folder = mkdtempSync(join(tmpdir(), "trivet-e2e-redis-"));
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
  const server = start("redis-server", args, { cwd: folder });
  await waitFor("redis-server to answer", async () => {
    if (server.hasExited()) throw new Error(`it ended; it printed:\n${server.output()}`);
    const { output } = await run("redis-cli", ["-p", String(port), "PING"], { cwd: folder });
    return output.includes("PONG") ? ready(true) : output;
  });
  return {
    port,
    stop: async () => {
      server.signal("SIGKILL");
      await server.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
