import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { call, expectStatus, type Json } from "./http.ts";
import { freePorts, start, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

export const hasPrometheus: boolean = ["prometheus", "promtool"].every((program) => spawnSync(program, ["--version"]).error === undefined);

export interface Prometheus {
  /** The vector that an expression gives now. */
  query(expr: string): Promise<readonly Json[]>;
  stop(): Promise<void>;
}

/** A Prometheus server that scrapes these nodes often. */
export async function startPrometheus(
  folder: string,
  targets: readonly { readonly id: string; readonly port: number }[],
): Promise<Prometheus> {
  const [port] = await freePorts(1);
  const config = join(folder, "prometheus.yml");
  const lines = targets.map(({ id, port: at }) => `      - { targets: ["127.0.0.1:${at}"], labels: { instance: ${id} } }`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    config,
    `global:
  scrape_interval: 500ms
scrape_configs:
  - job_name: trivet
    metrics_path: /v1/metrics
    static_configs:
${lines.join("\n")}
`,
  );
  const server: Started = start(
    "prometheus",
    [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, "tsdb")}`, `--web.listen-address=127.0.0.1:${port}`],
    { cwd: folder },
  );
  const url = `http://127.0.0.1:${port}`;
  await waitFor("Prometheus to be ready", async () => {
    if (server.hasExited()) throw new Error(`it ended; it printed:\n${server.output().slice(-4_000)}`);
    await expectStatus(200, `${url}/-/ready`);
    return ready(true);
  });
  return {
    query: async (expr) => {
      const { body } = await expectStatus(200, `${url}/api/v1/query?query=${encodeURIComponent(expr)}`);
      return (body["data"] as Json)["result"] as readonly Json[];
    },
    stop: async () => {
      server.signal("SIGTERM");
      await server.exited;
    },
  };
}

/** The Prometheus of the Compose file has a target for each of so many nodes, and none of its targets is down. */
export async function everyNodeIsScraped(count: number): Promise<void> {
  await waitFor(
    `${count} nodes as targets, all of them up`,
    async () => {
      const { status, body, text } = await call("http://127.0.0.1:9090/api/v1/targets?state=active");
      if (status !== 200) return text;
      const targets = ((body["data"] as Json)["activeTargets"] ?? []) as readonly Json[];
      const nodes = targets.filter(({ labels }) => (labels as Json)["job"] === "trivet");
      return nodes.length === count && targets.every(({ health }) => health === "up")
        ? ready(true)
        : JSON.stringify(targets).slice(0, 2_000);
    },
    { deadlineMs: 120_000, everyMs: 1_000 },
  );
}
