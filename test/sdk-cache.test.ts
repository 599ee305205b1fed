import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { playRounds, type RoundsSettings, SharedNumbers } from "./support/cache-rounds.ts";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { type CutProxy, startCutProxy } from "./support/cut-proxy.ts";
import { repository, start, type Started } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const script = fileURLToPath(new URL("support/cache-worker.ts", import.meta.url));
const keys = 8;
const [here, there] = [0, 1];

describe("near caches of two programs on real nodes: no read is older than what was acknowledged before it", () => {
  let cluster: TestCluster;
  let proxies: CutProxy[];
  let shared: SharedNumbers;
  let worker: Started;
  let own: Promise<readonly string[]>;
  const ended = { stop: new AbortController() };

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    proxies = await Promise.all(cluster.nodes.map(({ port }) => startCutProxy(port)));
    const file = join(cluster.folder, "rounds");
    writeFileSync(file, "");
    shared = new SharedNumbers(file, keys);
    ended.stop = new AbortController();
    const mine: RoundsSettings = {
      urls: cluster.nodes.map(({ url }) => url),
      routing: "leader",
      file,
      process: here,
      keys,
      writes: [0, 1, 2, 3],
    };
    own = playRounds(mine, ended.stop.signal);
    const other: RoundsSettings = {
      ...mine,
      urls: proxies.map(({ url }) => url),
      routing: "any",
      process: there,
      writes: [4, 5, 6],
    };
    const args = ["--conditions=source", "--import", "tsx", script, JSON.stringify(other)];
    worker = start(process.execPath, args, { cwd: repository });
  });
  afterEach(async (test) => {
    ended.stop.abort();
    worker.signal("SIGKILL");
    await worker.exited;
    shared.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await cluster.destroy(test);
  });

  /** Waits until a process has done so much more of something. */
  const more = async (process: number, what: "hits" | "writes" | "reads", count: number): Promise<void> => {
    const before = shared.counted(process)[what];
    await waitFor(
      `process ${process}: ${count} more ${what}`,
      () => {
        if (worker.hasExited()) throw new Error(`the other process ended: ${worker.output()}`);
        const { [what]: now } = shared.counted(process);
        return now - before >= count ? ready(true) : `${now - before} so far`;
      },
      { deadlineMs: 90_000 },
    );
  };
  const bothHit = async (hits: number): Promise<void> => {
    await more(here, "hits", hits);
    await more(there, "hits", hits);
  };
  const finish = async (): Promise<void> => {
    ended.stop.abort();
    expect(await own).toEqual([]);
    worker.signal("SIGTERM");
    await worker.exited;
    expect(worker.output()).toBe("");
    expect([shared.counted(here).stale, shared.counted(there).stale]).toEqual([0, 0]);
  };

  it("thousands of rounds, and while one of them is stopped and goes on", async () => {
    await bothHit(2_000);
    await more(here, "writes", 1_000);
    for (let times = 0; times < 2; times++) {
      worker.signal("SIGSTOP");
      // Nobody waits for it longer than its lease.
      await more(here, "writes", 200);
      worker.signal("SIGCONT");
      await more(there, "reads", 100);
    }
    // The bar on a holder that made others wait is over at some time (rule M6).
    await bothHit(500);
    await finish();
  });

  it("kill -9 of the leader, and a cut of the link", async () => {
    await bothHit(1_000);
    const leader = await cluster.leader();
    await leader.kill();
    await more(here, "writes", 200);
    await more(there, "writes", 200);
    leader.start();
    await leader.waitUntilHealthy();
    await bothHit(500);
    for (const proxy of proxies) proxy.cut();
    await more(here, "writes", 200);
    for (const proxy of proxies) proxy.heal();
    await more(there, "writes", 100);
    await bothHit(500);
    await finish();
  });
});
