/** Point 14: `tail -f logs/node1.log` and `tail -f logs/node1_structured.log` (L-12), and S4's way with containers. */
import { chmodSync, chownSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { linkBuilt } from "../support/containers.ts";
import { composeLines } from "../support/document-commands.ts";
import { expectStatus } from "../support/http.ts";
import { startLockClients, violations } from "../support/lock-clients.ts";
import { run as runProgram, start } from "../support/processes.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, onEveryTarget } from "./targets.ts";

/** A command that never ends by itself, until it has printed what is looked for. */
async function follow(command: string, cwd: string, pattern: RegExp): Promise<string> {
  const following = start("bash", ["-c", `exec ${command}`], { cwd });
  try {
    return await waitFor(`\`${command}\` to show ${pattern.source}`, () => {
      if (following.hasExited()) throw new Error(`it ended:\n${following.output()}`);
      return pattern.test(following.output()) ? ready(following.output()) : following.output().slice(-1_000);
    });
  } finally {
    following.signal("SIGKILL");
    await following.exited;
  }
}

const startedAt = async (url: string): Promise<unknown> => (await expectStatus(200, `${url}/v1/health/live`)).body["started_at"];

onEveryTarget((target) => {
  const [plain, structured] = composeLines.s4.tail;
  it(plain, () => follow(plain, target().folder, /node1/));

  it(`${structured}: JSON, a line each`, async () => {
    const output = await follow(structured, target().folder, /\n.*\n/);
    for (const line of output.trimEnd().split("\n").slice(0, 2)) expect(JSON.parse(line)).toMatchObject({ node: "node1" });
  });
});

inContainers((containers) => {
  beforeAll(() => containers().up());
  afterAll(() => containers().down());

  it("S4: logs -f node1, restart node1", async () => {
    const { run, folder, healthy } = containers();
    const command = composeLines.s4.logs.replace("docker compose", "docker-compose");
    await follow(command, folder, /node1/);
    await run(composeLines.s4.restart);
    await healthy([8001, 8002, 8003]);
  });

  it("scripts/rolling_restart.sh --compose: each node is another process afterwards, and every call was answered", async () => {
    const { folder } = containers();
    linkBuilt(folder);
    const urls = [8001, 8002, 8003].map((port) => `http://127.0.0.1:${port}`);
    const clients = startLockClients({ urls, clients: 3, names: ["a", "b"], patienceMs: 30_000 });
    await clients.progress(20);
    const before = await Promise.all(urls.map(startedAt));
    // By itself: it finds out which Compose there is.
    const { code, output } = await runProgram("bash", ["scripts/rolling_restart.sh", "--compose"], { cwd: folder });
    expect(output).toContain("The cluster is whole.");
    expect(code).toBe(0);
    const after = await Promise.all(urls.map(startedAt));
    expect(after.filter((time, at) => time === before[at])).toEqual([]);
    await clients.progress(20);
    expect(violations(await clients.finish())).toEqual([]);
  });
});

describe.skipIf(process.getuid?.() !== 0)("a logs/ that belongs to root, as in a clone of root's (for root alone to try)", () => {
  inContainers((containers) => {
    const logs = (): string => join(containers().folder, "logs");
    const empty = (mode: number): void => {
      for (const file of readdirSync(logs()).filter((name) => name.endsWith(".log"))) rmSync(join(logs(), file));
      chmodSync(logs(), mode);
    };
    afterAll(async () => {
      await containers().down();
      empty(0o777);
    });

    it("the nodes are healthy without log files, each says so once, and that line says what to do", async () => {
      const { run, up, folder, healthy } = containers();
      empty(0o755);
      chownSync(logs(), 0, 0);
      await up();
      for (const node of ["node1", "node2", "node3"]) {
        const lines = (await run(`docker-compose -f docker/docker-compose.yml logs --no-color ${node}`)).split("\n");
        const warnings = lines.filter((line) => line.includes("log files are off"));
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toMatch(/EACCES.*let the user of this process write to/);
      }
      const [plain] = composeLines.s4.tail;
      await expect(run(plain.replace(" -f", ""))).rejects.toThrow(/No such file/);
      chmodSync(logs(), 0o777);
      await run("docker-compose -f docker/docker-compose.yml restart node1");
      await healthy([8001]);
      await follow(plain, folder, /node1/);
    });
  });
});
