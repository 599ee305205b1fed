/** Point 13: backup and restore of Redis and of the Raft state, including the append-only file (B-02). */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { editFile, type Containers } from "../support/containers.ts";
import { composeLines, s0, s0Password } from "../support/document-commands.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, testsOf } from "./targets.ts";

inContainers((containers) => {
  beforeAll(() => containers().up());
  afterAll(() => containers().down());

  it("what Redis acknowledged is there after `restart redis` (S4), from the append-only file", async () => {
    const { run, curl, healthy } = containers();
    const produced = await curl(s0.produce);
    expect(produced.status, produced.text).toBe(200);
    await run(composeLines.s4.restartRedis);
    await healthy([8001, 8002, 8003]);
    const consumed = await waitFor("the nodes to have found it again", async () => {
      const answer = await curl(`${s0.consume}?ack=auto`);
      return answer.status === 503 ? answer.text : ready(answer);
    });
    expect(consumed, consumed.text).toMatchObject({ status: 200, body: { message_id: produced.body["message_id"] } });
  });
});

/** What was produced before the backup, and settled after it, is there again: in the way that the guide describes. */
async function comesBack({ run, curl, healthy }: Containers, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const produced = await curl(s0.produce);
  expect(produced.status, produced.text).toBe(200);
  const saved = await run("bash scripts/backup.sh --compose 2>&1", env);
  const file = saved.trimEnd().split("\n").at(-1) ?? "";
  expect(file, saved).toMatch(/^backup\/redis-.*\.rdb$/);
  expect((await curl(`${s0.consume}?ack=auto`)).body).toMatchObject({ message_id: produced.body["message_id"] });
  expect((await curl(s0.consume)).status).toBe(404);
  const compose = "docker-compose -f docker/docker-compose.yml";
  const restored = await run(
    `${compose} stop node1 node2 node3\nbash scripts/restore.sh ${file} --compose 2>&1\n${compose} start node1 node2 node3`,
    env,
  );
  expect(restored).toMatch(/Loaded \d+ keys into \/data/);
  await healthy([8001, 8002, 8003]);
  const consumed = await waitFor("the nodes to have found it again", async () => {
    const answer = await curl(`${s0.consume}?ack=auto`);
    return answer.status === 200 ? ready(answer) : answer.text;
  });
  expect(consumed.body).toMatchObject({ message_id: produced.body["message_id"] });
}

describe("scripts/backup.sh --compose and scripts/restore.sh --compose", () => {
  inContainers((containers) => {
    afterEach(() => containers().down());

    it("a message of before comes back", async () => {
      await containers().up();
      await comesBack(containers());
    });

    it("the same with S0's password, in `command:` and in the files of the nodes", async () => {
      const { folder, run, up, down } = containers();
      const nodes = [1, 2, 3].map((n) => editFile(join(folder, `.env.node${n}`), (text) => `${text}${s0Password.env}\n`));
      const compose = join(folder, "docker/docker-compose.yml");
      const undo = [...nodes, editFile(compose, (text) => text.replace(/^ {4}command:\n(?: {6}- .*\n)+/m, `    ${s0Password.command}\n`))];
      try {
        await up();
        await expect(run("bash scripts/backup.sh --compose 2>&1")).rejects.toThrow(/set REDIS_PASSWORD/);
        await comesBack(containers(), { REDIS_PASSWORD: "mypassword" });
      } finally {
        await down();
        for (const back of undo) back();
      }
    });
  });
});

testsOf("backup and restore of Redis, with an append-only file", "test/redis-backup.test.ts");
testsOf("backup and restore of the Raft state", "test/backup.test.ts");
