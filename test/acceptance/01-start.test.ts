/** Point 1: the start commands of S0, S1, S2, S3 and S4; all services are healthy. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { composeLines, s0, s4 } from "../support/document-commands.ts";
import { hasImage } from "../support/containers.ts";
import { everyNodeIsScraped } from "../support/prometheus.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers } from "./targets.ts";
// The same documents without containers: S0's three terminals, and S1's nodes by type.
import "../terminals.test.ts";
import "../env-files.test.ts";

const grafana = "grafana/grafana:latest";
const split = [8001, 8002, 8003, 9101, 9102, 9103, 10_001, 10_002, 10_003];

const names = (...kinds: readonly string[]): readonly string[] => kinds.flatMap((kind) => [1, 2, 3].map((n) => `node_${kind}_${n}`));

inContainers((containers) => {
  afterAll(() => containers().down());

  /** Every service is up, and healthy where it says how it is. */
  async function allHealthy(services: readonly string[]): Promise<void> {
    await waitFor(
      `${services.length} healthy services`,
      async () => {
        const rows = (await containers().run(`docker ps --all --format '{{.Label "com.docker.compose.service"}} {{.Status}}'`))
          .trim()
          .split("\n");
        const states = new Map(rows.map((row) => [row.split(" ")[0] ?? "", row] as const));
        const bad = services.filter((name) => !/ Up /.test(states.get(name) ?? "") || /unhealthy|starting/.test(states.get(name) ?? ""));
        return bad.length === 0 ? ready(true) : rows.join("\n");
      },
      { deadlineMs: 240_000, everyMs: 1_000 },
    );
  }

  /** The split lines of the sample settings, as its comment says. */
  const splitSettings = (): string =>
    readFileSync(join(containers().folder, "env.example"), "utf8")
      .replace(/^COMPOSE_PROFILES=monitoring$/m, "")
      .replaceAll(/^#(COMPOSE_PROFILES=split,monitoring|CLUSTER_REPLICAS=0)$/gm, "$1");

  it("S1: build --no-cache, up -d, logs node_lock_1, down", async () => {
    const { run, settings, healthy, down } = containers();
    settings(splitSettings().replace("split,monitoring", "split"));
    // Every service has the same image, and the older docker-compose would build it anew for each of the fourteen.
    await run(`${composeLines.s1.build} node_lock_1`);
    await run(composeLines.s1.up);
    await healthy(split);
    await allHealthy(["redis", ...names("lock", "queue", "cache")]);
    expect(await run(composeLines.s1.logs)).toMatch(/node_lock_1/);
    await run(composeLines.s1.down);
    await down();
  });

  it("S0: cd docker, docker-compose up -d, ps", async () => {
    const { run, curl, settings, healthy, down } = containers();
    settings(null);
    await run(composeLines.s0.up);
    await healthy([8001, 8002, 8003]);
    await allHealthy(["redis", "node1", "node2", "node3"]);
    expect(await run(`cd docker\n${composeLines.s0.ps}`)).toMatch(/node1.*Up/);
    for (const command of s0.greetings) expect((await curl(command)).status).toBe(200);
    await down();
  });

  it("S2: cd docker/, docker compose down && docker compose up --build --force-recreate -d (Bash and PowerShell differ in && and ;)", async () => {
    const { run, settings, healthy, down } = containers();
    settings(splitSettings().replace("split,monitoring", "split"));
    await run(`cd docker/\n${composeLines.s2.up}`);
    await healthy(split);
    await allHealthy(["redis", ...names("lock", "queue", "cache")]);
    await down();
  });

  it("S3: docker compose -f docker/docker-compose.yml --env-file .env up --build -d, ps: all services up", async () => {
    const { run, settings, healthy, down } = containers();
    settings(splitSettings());
    // Where the image of Grafana is not there and cannot be pulled, it alone is left out; the next test says so.
    const services = ["redis", ...names("lock", "queue", "cache"), "prometheus", ...(hasImage(grafana) ? ["grafana"] : [])];
    await run(`${composeLines.s3.up}${hasImage(grafana) ? "" : ` ${services.join(" ")}`}`);
    await healthy(split);
    await allHealthy(services);
    expect(await run(composeLines.s3.ps)).toMatch(/prometheus.*Up/);
    await everyNodeIsScraped(split.length);
    await down();
  });

  it("S4: cp env.example .env, bash scripts/run_cluster.sh, three times /health", async () => {
    const { run, curl, settings, down } = containers();
    settings(null);
    const output = await run(composeLines.s4.up, hasImage(grafana) ? {} : { COMPOSE_PROFILES: "" });
    expect(output).toMatch(/^8003 .*"status": *"ok"/m);
    for (const command of s4.health) expect((await curl(command)).body).toMatchObject({ status: "ok" });
    await down();
  });
});

describe.skipIf(!hasImage(grafana))("the image of Grafana", () => {
  it("is here, so S3 and S4 were started with it", () => expect(hasImage(grafana)).toBe(true));
});
