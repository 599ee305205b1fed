/** Point 9: a fourth node by S0's text; S1's and S4's `--scale`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { editFile, type Containers } from "../support/containers.ts";
import { composeLines, s0NodeFour } from "../support/document-commands.ts";
import { call, expectStatus, textOf, type Json } from "../support/http.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, testsOf } from "./targets.ts";

// As processes.
testsOf("a fourth node joins a running cluster", "test/membership.test.ts");
testsOf("replicas come and go", "test/scalable.test.ts");

const patient = { deadlineMs: 180_000, everyMs: 1_000 };

async function members(): Promise<readonly Json[]> {
  return (await expectStatus(200, "http://127.0.0.1:8001/v1/raft/status")).body["members"] as readonly Json[];
}

inContainers((containers) => {
  afterEach(async () => {
    await containers().down();
    restore(containers());
  });

  it("S0: .env.node4, its service pasted as it is there, node4 in every ALL_NODES, down, up -d", async () => {
    const { folder, run, up, healthy, curl } = containers();
    await up();
    const held = await curl('curl -X POST "http://localhost:8001/lock/kept?lock_type=exclusive"');
    addNodeFour(folder);
    // The pasted service has an image of its own name, and one of another checkout may be there.
    await run("docker-compose -f docker/docker-compose.yml build node4");
    // `docker-compose down` leaves the volumes.
    await run(`cd docker\n${composeLines.s0.again}`);
    await healthy([8001, 8002, 8003, 8004]);
    expect((await curl("curl http://localhost:8004/")).body).toMatchObject({ message: "Hello from Node node4", port: 8004 });
    await waitFor(
      "node4 to vote",
      async () => {
        const node4 = (await members()).find(({ node }) => node === "node4");
        return node4?.["kind"] === "voter" ? ready(true) : JSON.stringify(node4);
      },
      patient,
    );
    expect((await curl("curl http://localhost:8004/lock/kept")).body).toMatchObject({ status: "held", owners: [held.body["owner"]] });
  });

  it("S1: up -d --scale node_queue_scalable=3; what S4 means by --scale node1=2: --scale node_scalable=2", async () => {
    const { run, up } = containers();
    await up();
    await run(composeLines.s1.scale);
    await scaled(3);
    await run("docker compose -f docker/docker-compose.yml up -d --scale node_queue_scalable=3 --scale node_scalable=2");
    await scaled(5);
    // Stopped, they leave.
    await run("docker compose -f docker/docker-compose.yml up -d --scale node_queue_scalable=0 --scale node_scalable=0");
    await scaled(0);
    expect((await call("http://127.0.0.1:8001/health")).status).toBe(200);
  });
});

const scaled = (count: number): Promise<true> =>
  waitFor(
    `${count} scaled replicas in the cluster`,
    async () => {
      const replicas = (await members()).filter(({ roles }) => textOf(roles).includes("scalable"));
      for (const { kind } of replicas) expect(kind).toBe("learner");
      return replicas.length === count ? ready(true as const) : JSON.stringify(await members());
    },
    patient,
  );

function addNodeFour(folder: string): void {
  writeFileSync(join(folder, ".env.node4"), s0NodeFour.env);
  for (const n of [1, 2, 3]) editFile(join(folder, `.env.node${n}`), (text) => text.replace(/^ALL_NODES=.*$/m, "$&,http://node4:8004"));
  editFile(join(folder, "docker/docker-compose.yml"), (text) => text.replace(/^services:\n/m, `services:\n${s0NodeFour.service}\n`));
}

/** The files as they were, where something was added. */
function restore({ folder }: Containers): void {
  for (const n of [1, 2, 3]) replace(join(folder, `.env.node${n}`), ",http://node4:8004", "");
  replace(join(folder, "docker/docker-compose.yml"), `${s0NodeFour.service}\n`, "");
}

function replace(file: string, text: string, by: string): void {
  writeFileSync(file, readFileSync(file, "utf8").replace(text, by));
}
