// `npm run bench -- …`: builds what is measured, then hands over to the harness (benchmarks/src/main.ts).
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { root } from "./lib/run.mjs";

await firstStep();
// The command that is measured and the harness, no tests: a benchmark must not wait for them.
if (!(await build(["packages/cli", "benchmarks"]))) process.exit(1);

const harness = spawn(process.execPath, [join(root, "benchmarks", "dist", "main.js"), ...process.argv.slice(2)], { stdio: "inherit" });
// Ctrl-C reaches the whole process group; a signal sent to this process alone is passed on. Either way the harness cleans up and we wait.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void harness.kill(signal));
harness.on("exit", (code, signal) => {
  process.exitCode = signal === null ? (code ?? 1) : 1;
});
