// `npm test`: every suite. `npm test NAME…` runs the suites or test files named; `--no-skips` fails when anything was skipped.
// Ends with one plain line `N passed, N failed`, summed over all runners. Exit code 0 only when tests ran and none failed.
import { existsSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { installPrograms } from "./lib/programs.mjs";
import { root } from "./lib/run.mjs";
import { failure } from "./lib/say.mjs";
import { vitest } from "./lib/vitest.mjs";

/**
 * The suites, in the order they run; a file belongs to the first whose pattern its path matches.
 * `built`: starts real processes from `packages/cli/bundle`. `programs`: what the suite calls beside Node, with the Debian package that brings it.
 */
const suites = [
  {
    name: "e2e",
    project: "e2e",
    pattern: /^test\//,
    built: true,
    programs: [
      { program: "strace", debian: "strace" },
      { program: "curl", debian: "curl" },
      { program: "ip", debian: "iproute2" },
      { program: "nft", debian: "nftables" },
      { program: "mkfs.ext4", debian: "e2fsprogs" },
      { program: "redis-server", debian: "redis-server" },
      { program: "promtool", debian: "prometheus" },
      { program: "locust", debian: "python3-locust" },
    ],
  },
  {
    name: "conformance",
    project: "unit",
    pattern: /conformance/,
    built: false,
    programs: [{ program: "redis-server", debian: "redis-server" }],
  },
  { name: "model", project: "unit", pattern: /model/, built: false, programs: [] },
  { name: "contract", project: "unit", pattern: /contract|alias|openapi/, built: false, programs: [] },
  {
    name: "unit",
    project: "unit",
    pattern: /./,
    built: false,
    programs: [
      { program: "redis-server", debian: "redis-server" },
      // The server itself is not on the path; its keeper is.
      { program: "pg_ctlcluster", debian: "postgresql" },
      { program: "openssl", debian: "openssl" },
      { program: "kubectl", debian: "kubernetes-client" },
    ],
  },
];
const testRoots = ["packages", "benchmarks", "tools", "test"];

if (process.argv.slice(2).some((argument) => argument === "--help" || argument === "-h")) {
  console.log(`npm test                      every suite
npm test -- NAME…             the suites or test files named; suites: ${suites.map((suite) => suite.name).join(", ")}
npm test -- --no-skips        fail when anything was skipped

TRIVET_NO_INSTALL=1 keeps it from installing Debian packages that tests call (as root on Debian only).`);
  process.exit(0);
}

const strict = process.argv.includes("--no-skips");
const selected = process.argv.slice(2).filter((argument) => argument !== "--no-skips");

await firstStep();
const plan = planOf(selected);
for (const suite of plan.keys()) await installPrograms(suite.programs);
if ([...plan.keys()].some((suite) => suite.built) && !(await build())) finish([], "the build failed");

const outcomes = [];
for (const project of ["unit", "e2e"]) {
  const files = [...plan].filter(([suite]) => suite.project === project).flatMap(([, paths]) => paths);
  if (files.length > 0) outcomes.push(...(await runVitest(project === "unit" ? ["unit", "own-modules"] : [project], files)));
}
finish(outcomes, null);

/** Which files of which suite run: all, or those of the names given. */
function planOf(names) {
  const files = testRoots.flatMap(testFiles);
  const known = new Set(suites.map((suite) => suite.name));
  const unknown = names.filter((name) => !known.has(name) && !files.some((file) => file.includes(name)));
  if (unknown.length > 0) {
    failure(`No suite or test file is called ${unknown.join(", ")}.`, `Suites: ${[...known].join(", ")}.`, "npm test, or npm test SUITE");
    process.exit(64);
  }
  const found = new Map();
  for (const file of files) {
    const suite = suites.find((candidate) => candidate.pattern.test(file));
    if (names.length > 0 && !names.some((name) => name === suite.name || (!known.has(name) && file.includes(name)))) continue;
    found.set(suite, [...(found.get(suite) ?? []), file]);
  }
  return found;
}

function testFiles(folder) {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return (
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
      .filter((file) => !file.includes("node_modules/") && !file.includes("/dist/"))
      // They run the same end-to-end tests again, on ports of the documents, too: `npm run acceptance`.
      .filter((file) => !file.startsWith("test/acceptance/"))
      .toSorted()
  );
}

/** One vitest run. Gives one outcome per test; a file that could not even be loaded counts as one failed test. */
async function runVitest(projects, files) {
  const { code, report } = await vitest(projects, files);
  if (report !== null) return outcomesOf(report, code, projects[0]);
  return [{ suite: projects[0], status: "failed", title: `vitest ended with exit code ${code} and wrote no report` }];
}

function outcomesOf(report, code, project) {
  const outcomes = [];
  for (const { name, status, message, assertionResults } of report.testResults) {
    const file = relative(root, name).split(sep).join("/");
    const suite = suites.find((candidate) => candidate.pattern.test(file)).name;
    for (const test of assertionResults) {
      const kind = test.status === "passed" || test.status === "failed" ? test.status : "skipped";
      outcomes.push({ suite, status: kind, title: `${file} > ${test.fullName}` });
    }
    if (status === "failed" && !assertionResults.some((test) => test.status === "failed")) {
      outcomes.push({ suite, status: "failed", title: `${file}: ${message || "the file failed outside its tests"}` });
    }
  }
  // Unhandled errors end vitest with a bad code although every test passed.
  if (code !== 0 && !outcomes.some((outcome) => outcome.status === "failed")) {
    outcomes.push({
      suite: project,
      status: "failed",
      title: `vitest ended with exit code ${code}: an error outside the tests, see above`,
    });
  }
  return outcomes;
}

/** Prints what was skipped and failed, a line per suite, and the final line. */
function finish(outcomes, problem) {
  const count = (status, suite) => outcomes.filter((outcome) => outcome.status === status && (!suite || outcome.suite === suite)).length;
  const skipped = outcomes.filter((outcome) => outcome.status === "skipped");
  console.log("");
  for (const { title } of skipped) console.log(`skipped: ${title}`);
  for (const { title, status } of outcomes) if (status === "failed") console.log(`failed: ${title}`);
  for (const { name } of suites) {
    const has = outcomes.some((outcome) => outcome.suite === name);
    const text = `${count("passed", name)} passed, ${count("failed", name)} failed, ${count("skipped", name)} skipped`;
    if (has) console.log(`suite ${name.padEnd(12)} ${text}`);
    else if (selected.length === 0) console.log(`suite ${name.padEnd(12)} has no tests`);
  }
  const failed = count("failed") + (problem ? 1 : 0);
  const empty = count("passed") + failed === 0;
  if (problem) console.log(`failed: ${problem}`);
  if (empty) console.log("failed: no test ran");
  const refused =
    strict && (skipped.length > 0 || (selected.length === 0 && suites.some(({ name }) => !outcomes.some((o) => o.suite === name))));
  if (refused) console.log("failed: --no-skips, and something was skipped or has no tests (see above)");
  console.log(`${count("passed")} passed, ${failed} failed`);
  process.exit(failed > 0 || empty || refused ? 1 : 0);
}
