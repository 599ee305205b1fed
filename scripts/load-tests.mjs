// Behind scripts/run_load_tests.sh: S4's load tests one after the other, each with a report of its own.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { root, run } from "./lib/run.mjs";
import { failure, say } from "./lib/say.mjs";

/** Users, users that begin per second, and time, as S4's program has them. */
const tests = {
  general: { users: 50, rate: 5, time: "5m", scenarios: ["General"] },
  "lock-stress": { users: 20, rate: 10, time: "2m", scenarios: ["LockStress"] },
  "cache-coherence": { users: 30, rate: 5, time: "3m", scenarios: ["CacheCoherence"] },
  "queue-throughput": { users: 100, rate: 20, time: "2m", scenarios: ["QueueThroughput"] },
  "three-nodes": { users: 25, rate: 5, time: "1m", scenarios: ["ThreeNodes"] },
  demo: { users: 10, rate: 5, time: "30s", scenarios: [] },
};
const usage = `bash scripts/run_load_tests.sh [TEST…]

Tests: ${Object.entries(tests)
  .map(([name, { users, rate, time }]) => `${name} (${users} users, ${rate}/s, ${time})`)
  .join(", ")}. Without a name: all.

  HOST=http://localhost:8001   the nodes, with commas; a host without a port is 8001 to 8003 (default http://localhost)
  RUN_TIME=10s                 another time for each
  REPORTS=benchmarks/reports   folder of the reports (default .cache/loadtest)

The cluster has to run already: npm start, or bash scripts/run_cluster.sh.`;

const { values, positionals } = parseArgs({
  options: {
    host: { type: "string", default: process.env.HOST || "http://localhost" },
    "run-time": { type: "string", default: process.env.RUN_TIME || "" },
    reports: { type: "string", default: process.env.REPORTS || join(root, ".cache", "loadtest") },
    cluster: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
  allowPositionals: true,
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const unknown = positionals.filter((name) => !(name in tests));
if (unknown.length > 0) {
  failure(
    `There is no load test ${unknown.join(", ")}.`,
    `Tests: ${Object.keys(tests).join(", ")}.`,
    "bash scripts/run_load_tests.sh --help",
  );
  process.exit(64);
}

await firstStep();
if (!(await build(["packages/cli", "benchmarks"]))) process.exit(1);
const cluster = values.cluster ? await startCluster() : null;
const failed = [];
try {
  const names = positionals.length > 0 ? positionals : Object.keys(tests);
  for (const name of names) {
    const { users, rate, time, scenarios } = tests[name];
    const runTime = values["run-time"] || time;
    say(`\n== ${name}: ${users} users, ${rate} more each second, ${runTime}`);
    const host = cluster?.host ?? values.host;
    const flags = ["--host", host, "--users", String(users), "--spawn-rate", String(rate), "--run-time", runTime, "--headless"];
    const report = join(values.reports, `${name}.html`);
    const main = join(root, "benchmarks", "dist", "loadtest", "main.js");
    const { code } = await run(process.execPath, [main, ...flags, "--html", report, ...scenarios]);
    if (code !== 0) failed.push(name);
  }
  console.log(failed.length > 0 ? `\nWith unexpected outcomes: ${failed.join(", ")}.` : "\nNo unexpected outcome.");
  console.log(`${names.length - failed.length} passed, ${failed.length} failed`);
} finally {
  await cluster?.stop();
}
process.exitCode = failed.length > 0 ? 1 : 0;

/** A cluster for this run alone, on ports that nobody else uses by habit. */
async function startCluster() {
  const folder = mkdtempSync(join(tmpdir(), "trivet-load-"));
  const port = 18_000 + Math.floor(Math.random() * 1_000);
  const launcher = spawn(process.execPath, [join(root, "packages", "cli", "bundle", "main.js"), "dev", "--port", String(port)], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((resolve) => launcher.once("exit", resolve));
  await new Promise((resolve, reject) => {
    let output = "";
    launcher.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (output.includes("Trivet is running")) resolve();
    });
    launcher.once("exit", (code) => reject(new Error(`the cluster ended with ${code}:\n${output}`)));
  });
  return {
    host: [0, 1, 2].map((offset) => `http://127.0.0.1:${port + offset}`).join(","),
    stop: async () => {
      launcher.kill("SIGTERM");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
