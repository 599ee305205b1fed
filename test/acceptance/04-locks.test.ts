/** Point 4: acquire, status, release by S0's three calls and by S4's two; a second owner gets 423; killing the leader keeps the lock (N-04). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "../support/cluster.ts";
import { locksOfS0, locksOfS4, type Curl } from "../support/document-checks.ts";
import { s0 } from "../support/document-commands.ts";
import { textOf } from "../support/http.ts";
import { runVerbatim } from "../support/shell.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, onEveryTarget } from "./targets.ts";

onEveryTarget((target) => {
  it("S0: acquire, status, a second acquire is 423, release", () => locksOfS0(target().curl));
  it("S4: acquire, another owner gets 423, only its owner releases", () => locksOfS4(target().curl));
});

/** S0's acquire, the end of the leader, S0's status through each node that is left, S0's release. */
async function keptOverTheEndOfItsLeader(curl: Curl, kill: (leader: string) => Promise<void>): Promise<void> {
  const taken = await curl(s0.acquire);
  expect(taken.status, taken.text).toBe(200);
  const leader = textOf((await curl("curl http://localhost:8001/raft/leader")).body["leader"]);
  await kill(leader);
  const left = [1, 2, 3].filter((n) => `node${n}` !== leader).map((n) => `localhost:${8000 + n}`);
  for (const host of left) {
    await waitFor(`${host} to know the lock`, async () => {
      const { status, body, text } = await curl(s0.lock.replace("localhost:8001", host));
      if (status !== 200) return text;
      expect(body).toMatchObject({ status: "held", owners: [taken.body["owner"]] });
      return ready(true);
    });
  }
  const [host = ""] = left;
  expect((await curl(s0.acquire.replace("localhost:8001", host))).status).toBe(423);
  expect((await curl(s0.release.replace("localhost:8001", host))).status).toBe(200);
}

describe("kill -9 of the leader in between", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll(() => cluster.destroy());

  it("the lock is held by the same owner, refused to others, and released through another node", async () => {
    const ports = new Map(cluster.nodes.map(({ port }, index) => [8001 + index, port]));
    await keptOverTheEndOfItsLeader(
      (command) => runVerbatim(command, ports, cluster.folder),
      (leader) => cluster.node(leader).kill(),
    );
  });
});

inContainers((containers) => {
  it("the same when the leader's container is killed", async () => {
    const { curl, run, up } = containers();
    await up();
    await keptOverTheEndOfItsLeader(curl, async (leader) => {
      await run(`cd docker\ndocker-compose kill -s SIGKILL ${leader}`);
    });
    await up();
  });
});
