/** Point 13: backup and restore of Redis and of the Raft state, including the append-only file (B-02). */
import { afterAll, beforeAll, expect, it } from "vitest";
import { composeLines, s0 } from "../support/document-commands.ts";
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

testsOf("backup and restore of Redis, with an append-only file", "test/redis-backup.test.ts");
testsOf("backup and restore of the Raft state", "test/backup.test.ts");
