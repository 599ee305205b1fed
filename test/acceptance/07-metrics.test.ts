/** Point 7: `/metrics` has S0's keys, promtool passes it as text, Prometheus shows all targets up, Grafana at 3000 shows data. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasEngine, hasImage } from "../support/containers.ts";
import { metricsAndLocksOfS0, monitoringOfS4 } from "../support/document-checks.ts";
import { call, expectStatus, textOf, type Json } from "../support/http.ts";
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
    await waitFor(
      "three targets that are up",
      async () => {
        const { status, body, text } = await call("http://127.0.0.1:9090/api/v1/targets?state=active");
        if (status !== 200) return text;
        const targets = ((body["data"] as Json)["activeTargets"] ?? []) as readonly Json[];
        const nodes = targets.filter(({ labels }) => (labels as Json)["job"] === "trivet");
        return nodes.length === 3 && targets.every(({ health }) => health === "up") ? ready(true) : JSON.stringify(targets).slice(0, 2_000);
      },
      { deadlineMs: 120_000, everyMs: 1_000 },
    );
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
