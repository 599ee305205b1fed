import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePorts, repository, run, start, type Started } from "./support/processes.ts";
import { hasRedis } from "./support/redis.ts";
import { ready, waitFor } from "./support/wait.ts";

const backup = join(repository, "scripts", "backup.sh");
const restore = join(repository, "scripts", "restore.sh");
const password = "only-of-this-test";

describe.skipIf(!hasRedis)("scripts/backup.sh and scripts/restore.sh on a real Redis (B-02)", () => {
  let folder: string;
  let data: string;
  let port: number;
  let server: Started;

  const serve = async (...settings: readonly string[]): Promise<void> => {
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", data, "--requirepass", password, ...settings];
    server = start("redis-server", args, { cwd: folder });
    await waitFor("redis-server to answer", async () => {
      if (server.hasExited()) throw new Error(server.output());
      return (await redis("PING")).includes("PONG") ? ready(true) : server.output();
    });
  };
  const stop = async (): Promise<void> => {
    server.signal("SIGTERM");
    await server.exited;
  };
  const redis = async (...words: readonly string[]): Promise<string> => {
    const env = { REDISCLI_AUTH: password };
    return (await run("redis-cli", ["-p", String(port), ...words], { cwd: folder, env })).output.trim();
  };
  const script = (file: string, ...args: readonly string[]): ReturnType<typeof run> =>
    run("bash", [file, ...args], { cwd: folder, env: { REDIS_PORT: String(port), REDIS_PASSWORD: password } });
  const saved = async (): Promise<string> => {
    const { code, output } = await script(backup, join(folder, "backup"));
    expect(output).toContain("Saved");
    expect(code).toBe(0);
    return output.trimEnd().split("\n").at(-1) ?? "";
  };
  const fill = async (): Promise<void> => {
    await redis("SET", "text", "of the backup");
    await redis("XADD", "stream", "1-1", "body", "first");
    await redis("XGROUP", "CREATE", "stream", "group", "0");
    await redis("XREADGROUP", "GROUP", "group", "somebody", "COUNT", "1", "STREAMS", "stream", ">");
  };
  const isAsSaved = async (): Promise<void> => {
    expect(await redis("GET", "text")).toBe("of the backup");
    expect(await redis("EXISTS", "later")).toBe("0");
    // What was handed out and not settled is so again.
    expect(await redis("XPENDING", "stream", "group")).toContain("somebody");
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-redis-backup-"));
    data = join(folder, "data");
    mkdirSync(data);
    [port = 0] = await freePorts(1);
  });
  afterEach(async () => {
    server.signal("SIGKILL");
    await server.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    ["append-only files and save points", ["--appendonly", "yes", "--save", "1 1"]],
    ["save points only", ["--appendonly", "no", "--save", "1 1"]],
  ])("with %s: what was saved comes back, after a kill as well", async (_what, settings) => {
    await serve(...settings);
    await fill();
    const file = await saved();
    await redis("SET", "text", "overwritten");
    await redis("SET", "later", "1");
    await stop();
    const { code, output } = await script(restore, file, "--dir", data);
    expect(output).toContain("Loaded 2 keys");
    expect(code).toBe(0);
    await serve(...settings);
    await isAsSaved();
    server.signal("SIGKILL");
    await server.exited;
    await serve(...settings);
    await isAsSaved();
    // What was there is not thrown away.
    expect(readdirSync(data).filter((name) => name.startsWith("before-restore-"))).toHaveLength(1);
  });

  it("the way of S0 loses the backup; that is why the script exists", async () => {
    await serve("--appendonly", "yes", "--save", "1 1");
    await fill();
    const file = await saved();
    await redis("SET", "text", "overwritten");
    copyFileSync(file, join(data, "dump.rdb"));
    await stop();
    await serve("--appendonly", "yes", "--save", "1 1");
    expect(await redis("GET", "text")).toBe("overwritten");
  });

  it("--compose takes the password of the container, or that of the shell where it stands in the server's command alone (S0)", async () => {
    await serve("--appendonly", "yes");
    await fill();
    // In place of the engine: what is run in the container is run here, with the environment that the container has.
    const programs = join(folder, "bin");
    mkdirSync(programs);
    const program = (name: string, ...lines: readonly string[]): void =>
      writeFileSync(join(programs, name), ["#!/bin/bash", ...lines, ""].join("\n"), { mode: 0o755 });
    program(
      "docker",
      '[ "$*" != "compose version" ] || exit 0',
      'while [ "$1" != sh ]; do shift; done',
      'exec env -i PATH="$PATH" REDIS_PASSWORD="$IN_CONTAINER" sh "${@:2}"',
    );
    program("redis-cli", `exec ${spawnSync("which", ["redis-cli"], { encoding: "utf8" }).stdout.trim()} -p ${port} "$@"`);
    const compose = (env: Readonly<Record<string, string>>): ReturnType<typeof run> =>
      run("bash", [backup, "--compose", join(folder, "backup")], {
        cwd: folder,
        env: { PATH: `${programs}:${process.env["PATH"] ?? ""}`, ...env },
      });
    const none = await compose({ IN_CONTAINER: "" });
    expect(none.output).toMatch(/wants another password.*\n.*set REDIS_PASSWORD/);
    expect(none.code).toBe(77);
    for (const env of [
      { IN_CONTAINER: password },
      { IN_CONTAINER: "", REDIS_PASSWORD: password },
      { IN_CONTAINER: "", REDISCLI_AUTH: password },
    ]) {
      const { code, output } = await compose(env);
      expect(code, output).toBe(0);
      for (const file of readdirSync(join(folder, "backup"))) rmSync(join(folder, "backup", file));
    }
  });

  it("refuses a damaged file, a folder in use and no Redis; nothing changes", async () => {
    await serve("--appendonly", "yes");
    await fill();
    const file = await saved();
    const inUse = await script(restore, file, "--dir", data);
    expect(inUse.output).toContain("still uses");
    expect(inUse.code).toBe(74);
    await isAsSaved();
    await stop();

    const before = readdirSync(data).sort();
    const short = join(folder, "short.rdb");
    copyFileSync(file, short);
    truncateSync(short, 40);
    const other = join(folder, "other.rdb");
    writeFileSync(other, "no snapshot at all");
    const changed = join(folder, "changed.rdb");
    copyFileSync(file, changed);
    writeFileSync(
      `${changed}.sha256`,
      readFileSync(`${file}.sha256`, "utf8").replace(/^./, (digit) => (digit === "0" ? "1" : "0")),
    );
    for (const bad of [short, other, changed]) {
      const { code, output } = await script(restore, bad, "--dir", data);
      expect(output).toContain("cannot be restored; nothing was changed");
      expect(code).toBe(65);
    }
    expect(readdirSync(data).sort()).toEqual(before);

    const silent = await script(backup, join(folder, "none"));
    expect(silent.output).toContain("Redis does not answer");
    expect(silent.code).toBe(69);
    expect(existsSync(join(folder, "none"))).toBe(false);
    await serve("--appendonly", "yes");
    await isAsSaved();
    const stranger = await run("bash", [backup], { cwd: folder, env: { REDIS_PORT: String(port), REDIS_PASSWORD: "wrong" } });
    expect(stranger.output).toContain("wants another password");
    expect(stranger.code).toBe(77);
  });
});
