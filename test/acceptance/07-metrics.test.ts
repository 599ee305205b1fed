/** Point 7: `/metrics` has S0's keys, promtool passes it as text, Prometheus shows all targets up, Grafana at 3000 shows data. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasEngine, hasImage } from "../support/containers.ts";
import { metricsAndLocksOfS0, monitoringOfS4 } from "../support/document-checks.ts";
import { expectStatus, textOf, type Json } from "../support/http.ts";
import { everyNodeIsScraped } from "../support/prometheus.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, onEveryTarget } from "./targets.ts";
// promtool on the text of every node, and every query of every board against a live Prometheus.
import "../monitoring.test.ts";

onEveryTarget((target) => {
  it("S0: cache_hits, cache_misses, cache_stats; all locks", () => metricsAndLocksOfS0(target().curl));
  it("S4: JSON, text, wait-for graph", () => monitoringOfS4(target().curl));
});

const grafana = "grafana/grafana:latest";
const profile = { COMPOSE_PROFILES: "monitoring" };

inContainers((containers) => {
  beforeAll(async () => {
    await containers().up();
    await containers().run(`docker-compose -f docker/docker-compose.yml up -d prometheus ${hasImage(grafana) ? "grafana" : ""}`, profile);
  });
  afterAll(() => containers().down());

  it("Prometheus at 9090 has a target for every node, all of them up", async () => {
    await everyNodeIsScraped(3);
  });

  it("with the keys of .env every call needs one, at each node, and Prometheus shows its own", async () => {
    const { folder, run, settings, healthy } = containers();
    writeFileSync(join(folder, "access", "scrape.token"), "reader-0123456789abcdef\n");
    settings(
      [
        "AUTH_MODE=keys",
        "API_KEYS=admin=admin-0123456789abcdef,reader=reader-0123456789abcdef",
        "METRICS_TOKEN_FILE=../access/scrape.token",
        "AUDIT_LOG=data/audit.log",
        "AUDIT_KEY=audit-0123456789abcdef",
        "",
      ].join("\n"),
    );
    try {
      await run("docker-compose -f docker/docker-compose.yml up -d node1 node2 node3 prometheus", profile);
      await healthy([8001, 8002, 8003]);
      for (const port of [8001, 8002, 8003]) {
        const url = `http://127.0.0.1:${port}/v1/metrics`;
        await expectStatus(401, url);
        await expectStatus(200, url, { headers: { authorization: "Bearer reader-0123456789abcdef" } });
      }
      await everyNodeIsScraped(3);
      const sealed = await run("cd docker\ndocker-compose exec -T node1 trivet audit verify data/audit.log");
      expect(sealed).toMatch(/data\/audit\.log: [1-9]\d* records, none changed/);
    } finally {
      settings(null);
      rmSync(join(folder, "access", "scrape.token"));
    }
  });
});

describe.skipIf(!hasEngine || !hasImage(grafana))("Grafana (its image has to be here)", () => {
  it("answers admin/admin at 3000 and has data behind its boards", async () => {
    const headers = { authorization: `Basic ${Buffer.from("admin:admin").toString("base64")}` };
    await waitFor(
      "Grafana to answer a query",
      async () => {
        const sources = await expectStatus(200, "http://127.0.0.1:3000/api/datasources", { headers });
        const [source] = JSON.parse(sources.text) as readonly Json[];
        const path = `/api/datasources/proxy/uid/${textOf(source?.["uid"])}/api/v1/query?query=up`;
        const { body, text } = await expectStatus(200, `http://127.0.0.1:3000${path}`, { headers });
        return ((body["data"] as Json)["result"] as readonly Json[]).length >= 3 ? ready(true) : text;
      },
      { deadlineMs: 120_000, everyMs: 1_000 },
    );
    const boards = JSON.parse((await expectStatus(200, "http://127.0.0.1:3000/api/search?type=dash-db", { headers })).text) as unknown[];
    expect(boards).toHaveLength(5);
  });
});
