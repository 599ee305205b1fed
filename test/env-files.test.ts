import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, expectStatus, type Json } from "./support/http.ts";
import { freePorts, repository, start, trivet, type Started } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

let folder: string;
const started: Started[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-files-"));
});
afterAll(async () => {
  for (const node of started) node.signal("SIGKILL");
  await Promise.all(started.map((node) => node.exited));
  rmSync(folder, { recursive: true, force: true });
});

describe("S1's nodes by type, from the files in the root", () => {
  const roles = ["lock", "queue"] as const;
  const sample = { lock: [8001, 8002, 8003], queue: [9101, 9102, 9103], cache: [10_001, 10_002, 10_003] } as const;

  it("are one cluster for locks and one for queues; a call for the other type is passed on", async () => {
    const free = await freePorts(9);
    const ports = new Map(
      Object.values(sample)
        .flat()
        .map((port, at) => [port as number, free[at] as number]),
    );
    const onFreePorts = (text: string): string => text.replaceAll(/\b(?:800|910|1000)[123]\b/g, (port) => String(ports.get(Number(port))));
    for (const role of roles) {
      for (const number of [1, 2, 3]) {
        const file = `${role}_node${number}.env`;
        // Without Redis, as the guide says it.
        const text = onFreePorts(readFileSync(join(repository, file), "utf8")).replaceAll(/^REDIS_.*$/gm, "");
        writeFileSync(join(folder, file), text);
        // Word for word the command of S1, behind `npm run node`.
        started.push(start(process.execPath, [trivet, "serve", "--env-file", file, "--node-type", role], { cwd: folder }));
      }
    }
    const urls = (role: (typeof roles)[number]): readonly string[] => sample[role].map((port) => `http://127.0.0.1:${ports.get(port)}`);
    for (const url of roles.flatMap(urls)) {
      await waitFor(
        `${url} to be healthy`,
        async () => {
          const { status, text } = await call(`${url}/health`);
          return status === 200 ? ready(true) : `${status} ${text}`;
        },
        { deadlineMs: 60_000 },
      );
    }
    for (const role of roles) {
      const leaders = await Promise.all(urls(role).map(async (url) => (await expectStatus(200, `${url}/raft/leader`)).body["leader"]));
      expect(new Set(leaders).size).toBe(1);
      expect(leaders[0]).toMatch(new RegExp(`^${role}_node[123]$`));
    }
    // A queue through a lock node, a lock through a queue node.
    const [lockNode] = urls("lock");
    const [queueNode] = urls("queue");
    await waitFor("a produce through a lock node", async () => {
      const { status, text } = await call(`${lockNode}/queue/orders`, { body: { data: "Hello World" } });
      return status === 200 ? ready(true) : `${status} ${text}`;
    });
    const consumed = await expectStatus(200, `${queueNode}/queue/orders`);
    expect(consumed.body["message"]).toEqual({ data: "Hello World" });
    await expectStatus(200, `${queueNode}/lock/test-lock?lock_type=exclusive`, { method: "POST" });
    const { body } = await expectStatus(200, `${lockNode}/lock/test-lock`);
    expect(body).toMatchObject({ status: "held" } satisfies Json);
  });
});
