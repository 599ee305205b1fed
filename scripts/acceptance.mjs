// `npm run acceptance`: the acceptance list of the source documents, one script per point under test/acceptance.
// `npm run acceptance -- 4 8` runs those points. Ends with one plain line `N passed, N failed`, counted in points;
// those of which something was skipped, or is not there yet, are neither, and stand in the line before.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { installPrograms } from "./lib/programs.mjs";
import { root, run } from "./lib/run.mjs";
import { failure, warn } from "./lib/say.mjs";
import { vitest } from "./lib/vitest.mjs";

const folder = join(root, "test", "acceptance");
const points = readdirSync(folder)
  .filter((file) => /^\d\d-.*\.test\.ts$/.test(file))
  .toSorted()
  .map((file) => ({ file, number: Number(file.slice(0, 2)), title: titleOf(file) }));

const words = process.argv.slice(2);
if (words.some((word) => word === "--help" || word === "-h")) {
  console.log(`npm run acceptance                every point
npm run acceptance -- 4 8         points 4 and 8
npm run acceptance -- --no-skips  fail also when something was skipped or is missing

${points.map(({ number, title }) => `${String(number).padStart(3)}  ${title}`).join("\n")}`);
  process.exit(0);
}
const strict = words.includes("--no-skips");
const wanted = words.filter((word) => word !== "--no-skips");
const unknown = wanted.filter((word) => !points.some(({ number }) => String(number) === word));
if (unknown.length > 0) {
  failure(`There is no point ${unknown.join(", ")}.`, `Points: 0 to ${points.at(-1).number}.`, "npm run acceptance -- --help");
  process.exit(64);
}
const chosen = points.filter(({ number }) => wanted.length === 0 || wanted.includes(String(number)));

await firstStep();
await installPrograms([
  { program: "curl", debian: "curl" },
  { program: "redis-server", debian: "redis-server" },
  { program: "promtool", debian: "prometheus" },
  { program: "locust", debian: "python3-locust" },
  { program: "openssl", debian: "openssl" },
]);
// The load test is part of the benchmarks.
if (!(await build(["packages/cli", "packages/client", "benchmarks"]))) process.exit(1);
const engine = (await run("docker", ["info"], { quiet: true })).code === 0;
if (!engine) warn("No Docker engine answers here: what needs containers is skipped, named and counted below.");

const { code, report } = await vitest(
  ["acceptance"],
  chosen.map(({ file }) => `test/acceptance/${file}`),
);
finish();

/** The first comment of a script says what the point is. */
function titleOf(file) {
  const text = readFileSync(join(folder, file), "utf8");
  return /^\/\*\* Point \d+: (.*) \*\/$/m.exec(text)?.[1] ?? "the commands of the documents, verbatim";
}

function finish() {
  if (report === null) {
    console.log(`failed: vitest ended with exit code ${code} and wrote no report\n0 passed, 1 failed`);
    process.exit(1);
  }
  const results = new Map(report.testResults.map((result) => [basename(result.name), result]));
  const outcomes = chosen.map((point) => outcomeOf(point, results.get(point.file)));
  console.log("");
  for (const { number, title, state, counts, seconds, remarks } of outcomes) {
    console.log(`point ${String(number).padStart(2)}  ${state.padEnd(10)} ${`${seconds.toFixed(1)} s`.padStart(8)}  ${counts}  ${title}`);
    for (const remark of remarks) console.log(`            ${remark}`);
  }
  const count = (state) => outcomes.filter((outcome) => outcome.state === state).length;
  const outside = code !== 0 && count("FAILED") === 0;
  if (outside) console.log(`failed: vitest ended with exit code ${code}: an error outside the tests, see above`);
  const failed = count("FAILED") + (outside ? 1 : 0);
  const partly = outcomes.filter(({ state }) => state === "in part").map(({ number }) => number);
  // A point of which something was skipped or is missing has not passed, nor failed.
  if (partly.length > 0)
    console.log(`${partly.length} in part only, see "skipped" above (MISSING: not in this version yet): points ${partly.join(", ")}.`);
  console.log(`${count("passed")} passed, ${failed} failed`);
  process.exit(failed > 0 || count("passed") + partly.length === 0 || (strict && partly.length > 0) ? 1 : 0);
}

function outcomeOf(point, result) {
  const tests = result?.assertionResults ?? [];
  const of = (...statuses) => tests.filter(({ status }) => statuses.includes(status));
  const [passed, failed] = [of("passed"), of("failed")];
  const skipped = of("skipped", "pending", "disabled", "todo");
  const broken = result === undefined || (result.status === "failed" && failed.length === 0);
  const state = failed.length > 0 || broken || tests.length === 0 ? "FAILED" : skipped.length > 0 ? "in part" : "passed";
  const remarks = [
    ...(broken ? [`FAILED: ${result?.message || "the file failed outside its tests"}`] : []),
    ...failed.map(({ fullName }) => `FAILED: ${fullName}`),
    ...skipped.map(({ fullName }) => `skipped: ${fullName}`),
  ];
  const seconds = result === undefined ? 0 : (result.endTime - result.startTime) / 1_000;
  return { ...point, state, seconds, remarks, counts: `${passed.length} passed, ${failed.length} failed`.padEnd(22) };
}
