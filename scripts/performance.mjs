// `scripts/run_tests.sh performance`: short runs of the benchmarks, which show that they work and prove nothing about speed, and a load test.
// Ends with one plain line `N passed, N failed`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, run } from "./lib/run.mjs";

const folder = mkdtempSync(join(tmpdir(), "trivet-performance-"));
const steps = [
  { name: "locks", script: "bench.mjs", args: ["run", "lock-uncontended", "--quick"] },
  { name: "queues", script: "bench.mjs", args: ["run", "queue-roundtrip", "--quick"] },
  { name: "load", script: "load-tests.mjs", args: ["--cluster", "--run-time", "10s", "--reports", folder, "demo"] },
];
let failed = 0;
try {
  for (const { name, script, args } of steps) {
    console.log(`\n== ${name}`);
    const { code } = await run(process.execPath, [join(root, "scripts", script), ...args]);
    console.log(`== ${name}: exit code ${code}`);
    if (code !== 0) failed += 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${steps.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
