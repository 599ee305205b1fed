// `npm run check`: everything that can be said about the sources without running them. Under a minute.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { firstStep } from "./first-step.mjs";
import { root, run, tool } from "./lib/run.mjs";
import { done, failure, say, seconds } from "./lib/say.mjs";

const typescript = ["--conditions=source", "--import", "tsx"];
const checks = [
  { name: "types", args: [tool("typescript", "bin", "tsc"), "-b", "--force"], next: "correct the types" },
  { name: "lint", args: [tool("oxlint", "bin", "oxlint"), "--deny-warnings"], next: "npx oxlint --fix" },
  { name: "format", args: [tool("oxfmt", "bin", "oxfmt"), "--check"], next: "npm run format" },
  { name: "dead code", args: [tool("knip", "bin", "knip.js"), "--no-progress"], next: "remove what nobody uses" },
  ...readdirSync(join(root, "tools"))
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => ({ name: file.replace(".ts", ""), args: [...typescript, join("tools", file)], next: `see tools/${file}` })),
];
/** Two cores is what a small machine has; the long ones start first. */
const atOnce = 2;

const unknown = process.argv.slice(2);
if (unknown.length > 0) {
  const help = unknown.some((argument) => argument === "--help" || argument === "-h");
  console.log(`npm run check                 everything that can be said about the sources without running them; it takes no arguments
Checks: ${checks.map((check) => check.name).join(", ")}.`);
  process.exit(help ? 0 : 64);
}

await firstStep();
const start = performance.now();
const queue = [...checks];
const failed = [];
await Promise.all(Array.from({ length: atOnce }, worker));
if (failed.length > 0) {
  say(`${failed.length} of ${checks.length} checks failed: ${failed.join(", ")} (${seconds(start)}).`);
  process.exit(1);
}
done(`All ${checks.length} checks passed in ${seconds(start)}.`);

async function worker() {
  for (let check = queue.shift(); check; check = queue.shift()) {
    const begun = performance.now();
    const { code, output } = await run(process.execPath, check.args, { quiet: true });
    if (code === 0) done(`${check.name} (${seconds(begun)})`);
    else {
      failed.push(check.name);
      failure(`${check.name} (${seconds(begun)})`, output, check.next);
    }
  }
}
