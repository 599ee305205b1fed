import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { expectStatus } from "./support/http.ts";
import { repository, start, type Started } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

// A script that imports the SDK has to lie inside the clone.
const file = join(repository, ".cache", `recipe-${process.pid}.ts`);
let cluster: TestCluster;
const processes: Started[] = [];

beforeEach(async () => {
  cluster = await startCluster({ nodes: 3 });
});
afterEach(async (test) => {
  for (const each of processes) each.signal("SIGKILL");
  await Promise.all(processes.splice(0).map(({ exited }) => exited));
  rmSync(file, { force: true });
  await cluster.destroy(test);
});

/** The program of the section, with other addresses and shorter times. */
function programOf(section: string, changes: readonly (readonly [text: string, by: string])[]): string {
  const page = readFileSync(join(repository, "docs", "recipes.md"), "utf8");
  let program = new RegExp(`## ${section}\n[^]*?\`\`\`ts\n([^]*?)\`\`\``).exec(page)?.[1] ?? "";
  for (const [text, by] of changes) {
    expect(program).toContain(text);
    program = program.replace(text, by);
  }
  return program;
}

it("jobs that repeat: two processes plan and work, each occurrence is stored and done once; one is killed, and it goes on", async () => {
  const urls = cluster.nodes.map(({ url }) => url);
  const program = programOf("Jobs that repeat", [
    ['["http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://127.0.0.1:8003"]', JSON.stringify(urls)],
    ["everyMs = 60_000", "everyMs = 1_000"],
    ["leadMs = 60_000", "leadMs = 3_000"],
  ]);
  mkdirSync(join(repository, ".cache"), { recursive: true });
  writeFileSync(file, program);
  const run = (): Started => start(process.execPath, ["--import", "tsx", file], { cwd: repository });
  processes.push(run(), run());
  const done = (): readonly string[] =>
    processes.flatMap((each) => [...each.output().matchAll(/^report of (\S+)$/gm)].map(([, at = ""]) => at));
  const until = (occurrences: number): Promise<true> =>
    waitFor(
      `${occurrences} occurrences to be done`,
      () => {
        const ended = processes.slice(0, 1).find((each) => each.hasExited());
        if (ended) throw new Error(`it ended:\n${ended.output()}`);
        return new Set(done()).size >= occurrences ? ready(true) : processes.map((each) => each.output()).join("\n---\n");
      },
      { deadlineMs: 60_000 },
    );

  await until(6);
  expect(done().toSorted()).toEqual([...new Set(done())].toSorted());
  const { body } = await expectStatus(200, `${urls[0]}/v1/queues/jobs/messages?state=delayed`);
  const waiting = (body["messages"] as readonly { readonly body: { readonly at: number } }[]).map((message) => message.body.at);
  expect(waiting.length).toBeGreaterThan(0);
  expect(new Set(waiting).size).toBe(waiting.length);

  processes[1]?.signal("SIGKILL");
  await until(new Set(done()).size + 4);
});
