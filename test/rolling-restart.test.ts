import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, expectStatus, type Json } from "./support/http.ts";
import { startMixedLoad } from "./support/mixed-load.ts";
import { freePorts, repository, run, start, trivet } from "./support/processes.ts";
import { isAlive } from "./support/shell.ts";
import { ready, waitFor } from "./support/wait.ts";

const script = join(repository, "scripts", "rolling_restart.sh");
const names = ["node1", "node2", "node3"] as const;

/**
 * Far longer than any of it should take, and far shorter than the load's own patience, which would hide an outage: one call that was on its way to a
 * node that ended may wait for its 3 s, an election for 0.6 s.
 */
const unavailableMs = 5_000;

const startedAt = async (url: string): Promise<unknown> => (await expectStatus(200, `${url}/v1/health/live`)).body["started_at"];

describe("scripts/rolling_restart.sh over env files", () => {
  let folder: string;
  let files: readonly string[];
  let urls: readonly string[];

  const dataOf = (name: string): string => join(folder, "data", name);
  /** The process that has the data directory, whoever started it. */
  const processOf = (name: string): number => {
    const { host, pid } = JSON.parse(readFileSync(join(dataOf(name), "lock"), "utf8")) as { readonly host: string; readonly pid: number };
    if (host !== hostname()) throw new Error(`${name} runs on ${host}`);
    return pid;
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-rolling-"));
    const ports = await freePorts(names.length);
    urls = ports.map((port) => `http://127.0.0.1:${port}`);
    files = names.map((name, at) => {
      const file = join(folder, `${name}.env`);
      const lines = {
        NODE_ID: name,
        HTTP_PORT: String(ports[at]),
        PEERS: names.map((other, of) => `${other}=${urls[of]}`).join(","),
        DATA_DIR: dataOf(name),
        LOG_DIR: join(folder, "logs"),
      };
      writeFileSync(
        file,
        Object.entries(lines)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(""),
      );
      start(process.execPath, [trivet, "serve", "--env-file", file], { cwd: folder });
      return file;
    });
    for (const url of urls) {
      await waitFor(`${url} to be ready`, async () => {
        const { status, text } = await call(`${url}/v1/health/ready`);
        return status === 200 ? ready(true) : text;
      });
    }
  });
  afterEach(async () => {
    // The script's nodes are nobody's children: each is ended by its own id.
    for (const name of names) {
      const pid = processOf(name);
      if (isAlive(pid)) process.kill(pid, "SIGKILL");
      await waitFor(`${name} to be gone`, () => (isAlive(pid) ? "alive" : ready(true)));
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("under load: nothing acknowledged is lost, no idempotent request fails, no kind of work stands still; each node is another process afterwards", async () => {
    const load = await startMixedLoad(urls);
    await load.progress(20);
    const before = await Promise.all(urls.map(startedAt));
    const { code, output } = await run("bash", [script, ...files], { cwd: folder });
    expect(output).toContain("The cluster is whole.");
    expect(code).toBe(0);
    const after = await Promise.all(urls.map(startedAt));
    expect(after.filter((time, at) => time === before[at])).toEqual([]);
    await load.progress(20);
    const silences = Object.entries(load.longestSilencesMs());
    expect(silences).toHaveLength(7);
    expect(silences.filter(([, ms]) => ms > unavailableMs)).toEqual([]);
    expect(await load.finish()).toEqual([]);
  });

  it("stops with a clear message when a node does not come back, and touches no other", async () => {
    const leader = (await expectStatus(200, `${urls[0]}/raft/leader`)).body["leader"];
    const victim = names.findIndex((name) => name !== leader);
    const others = urls.filter((_, at) => at !== victim);
    const before = await Promise.all(others.map(startedAt));
    const config = readFileSync(files[victim] ?? "", "utf8");

    // Settings that cannot be used: it is not even stopped.
    writeFileSync(files[victim] ?? "", `${config}RAFT_ELECTION_TIMEOUT_MIN_MS=many\n`);
    const broken = await run("bash", [script, ...files], { cwd: folder, env: { WAIT: "8" } });
    expect(broken.output).toContain("RAFT_ELECTION_TIMEOUT_MIN_MS");
    expect(broken.output).toContain("Nothing was restarted");
    expect(broken.code).not.toBe(0);
    expect(isAlive(processOf(names[victim] ?? ""))).toBe(true);

    // A port that somebody else has: only the start itself finds out.
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, "127.0.0.1", () => resolve((other.address() as AddressInfo).port));
    });
    writeFileSync(files[victim] ?? "", `${config}CLUSTER_PORT=${port}\n`);
    const { code, output } = await run("bash", [script, ...files], { cwd: folder, env: { WAIT: "8" } });
    other.close();
    expect(output).toContain(`${names[victim]} did not come back within 8 s; the restart ends here.`);
    expect(output).toContain(
      `${names
        .filter((_, at) => at !== victim)
        .sort()
        .join(", ")} was not touched.`,
    );
    expect(code).toBe(69);
    expect(await Promise.all(others.map(startedAt))).toEqual(before);
    // A majority is left, and works.
    const { body } = await expectStatus(200, `${others[0]}/v1/locks/after/acquire`, { body: { owner: "test" } });
    expect(body).toMatchObject({ granted: true } satisfies Json);
  });
});
