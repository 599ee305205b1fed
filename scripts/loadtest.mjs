// `npm run loadtest -- …`: load with S4's flags, without Locust; live progress, or a page on 8089, and a report with charts.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { root } from "./lib/run.mjs";

await firstStep();
if (!(await build(["benchmarks"]))) process.exit(1);

const main = join(root, "benchmarks", "dist", "loadtest", "main.js");
const test = spawn(process.execPath, [main, ...process.argv.slice(2)], { stdio: "inherit" });
// Ctrl-C reaches the whole process group; a signal sent to this process alone is passed on. The test then ends its calls and writes its report.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void (process.stdin.isTTY || test.kill(signal)));
test.on("exit", (code, signal) => {
  process.exitCode = signal === null ? (code ?? 1) : 1;
});
