import { metricNames } from "@trivet/contract";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { boardProblems } from "./boards.ts";
import { boardFiles, boardQueries, boards } from "./lib/boards.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface RuleFile {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly action: string };
}
const rules = (parse(read("docker/monitoring/rules/trivet.yml")) as RuleFile).groups.flatMap((group) => group.rules);

/** Names of metrics in an expression: what stands before `{`. */
const metricsIn = (expr: string): readonly string[] => [...expr.matchAll(/([a-z_:][a-z0-9_:]*)\{/g)].map((match) => match[1] ?? "");
const known = new Set<string>([
  "up",
  ...metricNames,
  ...metricNames.flatMap((name) => ["bucket", "sum", "count"].map((part) => `${name}_${part}`)),
]);

describe("the boards", () => {
  it("are what the source says", () => {
    expect(boardProblems(root)).toEqual([]);
  });

  it("ask for metrics of the contract only", () => {
    for (const { board, panel, expr } of boardQueries()) {
      expect(metricsIn(expr).length, `${board}: ${panel}`).toBeGreaterThan(0);
      for (const name of metricsIn(expr)) expect(known, `${board}: ${panel}`).toContain(name);
    }
  });

  it("have ids of their own and panels that do not lie upon each other", () => {
    expect(new Set(boards.map(({ uid }) => uid)).size).toBe(boards.length);
    for (const text of boardFiles().values()) {
      const { panels } = JSON.parse(text) as {
        panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[];
      };
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
      );
      expect(new Set(cells).size).toBe(cells.length);
      for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
  });

  it("read the data source that is provisioned", () => {
    const { datasources } = parse(read("docker/monitoring/grafana/provisioning/datasources/prometheus.yml")) as {
      datasources: readonly { uid: string; type: string }[];
    };
    expect(datasources).toMatchObject([{ uid: "trivet-prometheus", type: "prometheus" }]);
    for (const text of boardFiles().values()) {
      const uids = new Set([...text.matchAll(/"uid": "([^"]+)"/g)].map((match) => match[1]).filter((uid) => uid?.includes("prometheus")));
      expect([...uids]).toEqual(["trivet-prometheus"]);
    }
  });
});

describe("the alert rules", () => {
  it("ask for metrics of the contract only, and say what to do", () => {
    expect(rules.length).toBeGreaterThan(15);
    for (const { alert, expr, labels, annotations } of rules) {
      for (const name of metricsIn(expr)) expect(known, alert).toContain(name);
      expect(["warning", "critical"]).toContain(labels.severity);
      expect(annotations.summary.length * annotations.action.length, alert).toBeGreaterThan(0);
    }
  });

  it("are each fired by a test", () => {
    const tests = read("docker/monitoring/rules/trivet.test.yml");
    for (const { alert } of rules) expect(tests).toMatch(new RegExp(`alertname: ${alert}\\n\\s+exp_alerts:`));
  });
});
