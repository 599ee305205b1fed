import { connect } from "@trivet/client";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeCluster } from "../../client/test/fake-cluster.ts";
import { Ended } from "../src/output/errors.ts";
import { cliError, runCli, type Ran } from "./support.ts";

type Answer = Parameters<typeof runCli>[1];
const nobody: Answer = () => ({ fails: "ECONNREFUSED" });

function exitOf(ran: Ran): number {
  if (ran.error instanceof Ended) return ran.error.exitCode;
  throw new Error(`expected the end of a command, got ${String(ran.error)}`, { cause: ran.error });
}

const until = (condition: () => boolean, what: string): Promise<void> =>
  vi.waitFor(() => expect(condition(), what).toBe(true), { timeout: 20_000, interval: 10 });

describe("trivet lock NAME -- COMMAND", () => {
  let fake: FakeCluster;
  let folder: string;
  beforeEach(async () => {
    fake = await FakeCluster.start(1);
    folder = mkdtempSync(join(tmpdir(), "trivet-lock-run-"));
  });
  afterEach(async () => {
    await fake.stop();
    rmSync(folder, { recursive: true });
  });

  const file = (name: string): string => join(folder, name);
  const lock = (words: readonly string[], program: string, answer: Answer = nobody, env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
    runCli(["--url", fake.urls.join(","), "lock", ...words, "--", process.execPath, "-e", program], answer, { env });
  const touch = (name: string): string => `fs.writeFileSync(${JSON.stringify(file(name))}, "");`;
  const command = <T extends string>(type: T): Extract<(typeof fake.executed)[number], { type: T }> => {
    const found = fake.executed.find((one) => one.type === type);
    if (found === undefined) throw new Error(`no ${type} was executed`);
    return found as Extract<(typeof fake.executed)[number], { type: T }>;
  };

  it("runs it under the lock, tells it the fence, ends with its code, and gives the lock back", async () => {
    const ran = await lock(
      ["orders/42", "--owner", "me"],
      `fs.writeFileSync(${JSON.stringify(file("env"))}, JSON.stringify(process.env)); process.exit(3)`,
    );
    expect(exitOf(ran)).toBe(3);
    const env = JSON.parse(readFileSync(file("env"), "utf8")) as Record<string, string>;
    expect(env).toMatchObject({ TRIVET_LOCK_NAME: "orders/42", TRIVET_FENCE: "1", TRIVET_OWNER: "me", TRIVET_SESSION: "1" });
    expect(JSON.parse(env["TRIVET_LOCKS"] ?? "")).toEqual([{ name: "orders/42", mode: "exclusive", fence: "1" }]);
    expect(command("open-session").ttlMs).toBe(15_000);
    expect(command("release")).toMatchObject({ name: "orders/42", fence: 1 });
    expect(fake.sessions.size).toBe(0);
    expect(ran.stdout + ran.stderr, "what is granted at once is not worth a word").toBe("");
  });

  it("ends as shells tell it when a signal ended the command", async () => {
    expect(exitOf(await lock(["a"], 'process.kill(process.pid, "SIGKILL")'))).toBe(137);
  });

  it("several names are one request, a semaphore has its size, a mode is that of all", async () => {
    expect(exitOf(await lock(["a", "b", "--mode", "shared"], ""))).toBe(0);
    expect(command("acquire").keys).toEqual([
      { name: "a", mode: "shared", of: 0 },
      { name: "b", mode: "shared", of: 0 },
    ]);
    expect(command("release-set").locks.map(({ name }) => name)).toEqual(["a", "b"]);
    fake.executed.length = 0;
    expect(exitOf(await lock(["pool", "--permits", "3"], ""))).toBe(0);
    expect(command("acquire").keys).toEqual([{ name: "pool", mode: "permit", of: 3 }]);
  });

  it("a lock that is held: 10 without a wait, and nothing is run; else it says who is before us, and runs when its turn has come", async () => {
    await using other = await connect(fake.urls);
    const held = await other.locks.acquire("a", { owner: "other" });
    const refused = await lock(["a", "--no-wait"], touch("run"));
    expect(cliError(refused)).toMatchObject({ exitCode: 10, code: "locked" });
    expect(cliError(refused).next).toMatch(/--wait/);

    const shown = {
      name: "a",
      status: "held",
      holders: [{ owner: "other", session_id: "1", mode: "exclusive", fence: "1", depth: 1, expires_in_ms: 5_000, held_ms: 61_000 }],
      waiters: [{ position: 1, owner: "me", session_id: "3", mode: "exclusive", waiting_ms: 10 }],
    };
    let asked = 0;
    const waiting = lock(["a", "--owner", "me"], touch("run"), () => (asked++, { body: shown }));
    await until(() => asked > 0 && fake.waitersOf("a") === 1, "in line");
    expect(existsSync(file("run"))).toBe(false);
    await held.release();
    const ran = await waiting;
    expect(exitOf(ran)).toBe(0);
    expect(existsSync(file("run"))).toBe(true);
    expect(ran.stderr).toMatch(/^Waiting for a: place 1 of 1; held by other \(exclusive, for 61\.0 s\)\.\nHolding a, fence 2, after /);
  });

  it("with --json what it tells comes as JSON on stderr: stdout is the command's", async () => {
    const ran = await lock(["a", "--json", "--owner", "me"], "");
    expect(exitOf(ran)).toBe(0);
    expect(ran.stdout).toBe("");
    expect(JSON.parse(ran.stderr)).toMatchObject({
      version: 1,
      kind: "lock-acquired",
      locks: [{ name: "a", fence: "1" }],
      owner: "me",
      session_id: "1",
    });
  });

  it("a wait for the lock that it runs under itself would never end: 11", async () => {
    await using other = await connect(fake.urls);
    await using held = await other.locks.acquire("a");
    const holder = { owner: "x", session_id: "1", mode: "exclusive", fence: String(held.fence), depth: 1, expires_in_ms: 1, held_ms: 1 };
    const env = { TRIVET_LOCKS: JSON.stringify([{ name: "a", mode: "exclusive", fence: String(held.fence) }]) };
    const ran = await lock(["a"], touch("run"), () => ({ body: { name: "a", status: "held", holders: [holder], waiters: [] } }), env);
    expect(cliError(ran)).toMatchObject({ exitCode: 11, code: "deadlock" });
    expect(existsSync(file("run"))).toBe(false);
    expect(held.isHeld).toBe(true);
  });

  /** Never ends by itself, and SIGTERM does not end it. */
  const stubborn = (name: string): string => `process.on("SIGTERM", () => {}); ${touch(name)} setInterval(() => {}, 1000)`;

  it("a session that the cluster no longer knows: the command gets SIGTERM, then SIGKILL, and the exit code is 12", async () => {
    const running = lock(["a", "--ttl", "2"], stubborn("begun"));
    await until(() => existsSync(file("begun")), "the command to run");
    fake.node(0).keepAlive = "lose";
    const ran = await running;
    expect(cliError(ran)).toMatchObject({ exitCode: 12, code: "lock_lost" });
    expect(ran.stderr).toMatch(/Lock a is lost: .*SIGTERM, and SIGKILL within/);
  });

  it("keepalives that nobody answers: the same, before the lease is over", async () => {
    const running = lock(["a", "--ttl", "2"], stubborn("begun"));
    await until(() => existsSync(file("begun")), "the command to run");
    fake.node(0).keepAlive = "ignore";
    const ran = await running;
    expect(cliError(ran)).toMatchObject({ exitCode: 12, code: "lock_lost" });
    expect(ran.stderr).toMatch(/^Lock a may soon be lost: no keepalive was acknowledged/);
    expect(ran.stderr, "its lease was not over yet").not.toContain("is lost:");
  });

  it("a lock that an operator took away is noticed though the session lives", async () => {
    const running = lock(["a", "--ttl", "3", "--grace", "0"], stubborn("begun"), () => ({
      body: { name: "a", status: "available", holders: [], waiters: [] },
    }));
    expect(cliError(await running)).toMatchObject({ exitCode: 12, why: expect.stringContaining("force-release") as string });
  });

  it("--on-lost continue: the command is left alone, its code counts, and the loss is told", async () => {
    const running = lock(
      ["a", "--ttl", "2", "--on-lost", "continue"],
      `${touch("begun")} setInterval(() => fs.existsSync(${JSON.stringify(file("go"))}) && process.exit(4), 20)`,
    );
    await until(() => existsSync(file("begun")), "the command to run");
    // Told by the next keepalive, or by the release.
    fake.node(0).keepAlive = "lose";
    fake.expire(1);
    writeFileSync(file("go"), "");
    const ran = await running;
    expect(exitOf(ran)).toBe(4);
    expect(ran.stderr).toMatch(/^Lock a is lost: .* The command was left alone/);
  });
});
