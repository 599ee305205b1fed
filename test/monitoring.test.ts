import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { boardQueries } from "../tools/lib/boards.ts";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { repository } from "./support/processes.ts";
import { hasPrometheus, startPrometheus, type Prometheus } from "./support/prometheus.ts";
import { ready, waitFor } from "./support/wait.ts";

/** promtool on files of the repository, or on what is given to its standard input. */
function promtool(args: readonly string[], input = ""): { readonly code: number | null; readonly output: string } {
  const ran = spawnSync("promtool", [...args], { cwd: join(repository, "docker/monitoring"), input, encoding: "utf8" });
  return { code: ran.status, output: `${ran.stdout}${ran.stderr}` };
}

describe.skipIf(!hasPrometheus)("what Prometheus is given", () => {
  it("its configuration is valid", () => {
    expect(promtool(["check", "config", "prometheus.yml"])).toMatchObject({ code: 0 });
    // The authority is not in the repository.
    expect(promtool(["check", "config", "--syntax-only", "prometheus.tls.yml"])).toMatchObject({ code: 0 });
  });

  it("every alert fires when it should, and none when all is well", () => {
    expect(promtool(["test", "rules", "rules/trivet.test.yml"])).toMatchObject({ code: 0 });
  });
});

describe.skipIf(!hasPrometheus)("the metrics of a live cluster", () => {
  let cluster: TestCluster;
  let prometheus: Prometheus;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    // Nobody has a Redis, so that writes wait for it.
    const settings = { origin: "redis", write: "behind" };
    await expectStatus(201, `${cluster.nodes[0]?.url}/v1/cache-namespaces/behind`, { method: "PUT", body: settings });
    prometheus = await startPrometheus(join(cluster.folder, "prometheus"), cluster.nodes);
  });
  afterAll(async () => {
    await prometheus.stop();
    await cluster.destroy();
  });

  /** A bit of everything that is counted: locks, queues, cached values and reads, through every node. */
  async function use(round: number): Promise<void> {
    for (const { id, url } of cluster.nodes) {
      const lock = `${url}/v1/locks/${id}-${round}`;
      await expectStatus(200, `${lock}/acquire`, { body: { owner: "monitor" } });
      await expectStatus(200, `${url}/v1/locks/${id}-${round}`);
      await expectStatus(423, `${lock}/acquire`, { body: { owner: "other" } });
      await expectStatus(200, `${lock}/release`, { body: { owner: "monitor" } });
      const queue = `${url}/v1/queues/watched`;
      await expectStatus(201, `${queue}/messages`, { body: { body: { round } } });
      const { body } = await expectStatus(200, `${queue}/consume`, { body: { wait_ms: 5_000 } });
      for (const { receipt } of body["messages"] as readonly Json[])
        await expectStatus(200, `${queue}/ack`, { body: { receipts: [textOf(receipt)] } });
      await expectStatus(200, `${url}/cache/watched`, { body: { data: round } });
      await expectStatus(200, `${url}/v1/cache/${id}?namespace=behind`, { method: "PUT", body: { value: round } });
      // A write through this node takes the copies of the others, so that one of them has to ask the home.
      for (const other of cluster.nodes) await expectStatus(200, `${other.url}/cache/watched`);
    }
  }

  it("pass promtool's check, on every node", async () => {
    await use(0);
    for (const { url } of cluster.nodes) {
      const { text } = await expectStatus(200, `${url}/v1/metrics`);
      expect(promtool(["check", "metrics"], text)).toEqual({ code: 0, output: "" });
    }
  });

  it("also as S4 asks for them", async () => {
    const { text } = await expectStatus(200, `${cluster.nodes[0]?.url}/metrics?format=prometheus`);
    expect(promtool(["check", "metrics"], text)).toEqual({ code: 0, output: "" });
  });

  it("say what waits for an origin, and what came of bringing it there", async () => {
    await waitFor("all of them", async () => {
      await use(0);
      const queries = ["cache_behind_keys > 0", "cache_behind_bytes > 0", "cache_behind_seconds > 0"];
      const asked = [...queries, 'cache_behind_writes_total{origin="redis", outcome="unreachable"} > 0'];
      const results = await Promise.all(asked.map((query) => prometheus.query(query)));
      return results.every((result) => result.length > 0) ? ready(true) : JSON.stringify(results);
    });
  });

  it("answer every query of every board", async () => {
    let round = 0;
    const open = new Map(boardQueries().map((query) => [`${query.board}: ${query.panel}: ${query.expr}`, query.expr]));
    expect(open.size).toBeGreaterThan(50);
    await waitFor(
      "every query to have an answer",
      async () => {
        // A rate needs a counter that has been seen before it rose.
        await use((round += 1));
        for (const [name, expr] of open) {
          const asked = expr.replaceAll("$__rate_interval", "30s").replaceAll("$node", ".*");
          const result = await prometheus.query(asked);
          if (result.some(({ value }) => (value as readonly unknown[])[1] !== "NaN")) open.delete(name);
        }
        return open.size === 0 ? ready(true) : [...open.keys()].join("\n");
      },
      { deadlineMs: 90_000 },
    );
  });
});
