// `npm run build`: compiles the workspaces with `tsc -b` and bundles the program, once at a time, and not at all when nothing changed.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, isBundled } from "./bundle.mjs";
import { buildLock, firstStep } from "./first-step.mjs";
import { root, run, tool } from "./lib/run.mjs";
import { withLock } from "./lib/lock.mjs";
import { done, failure, seconds } from "./lib/say.mjs";

/** Every project of tsconfig.json but the tests, which emit nothing. */
export function allProjects() {
  const { references } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  return references.map((reference) => reference.path).filter((path) => !path.endsWith(".json"));
}

/** Builds `projects` and what they refer to. Returns false after printing what failed. */
export async function build(projects = allProjects()) {
  if (isFresh(projects)) return true;
  return withLock(buildLock, "is installing or building", async () => {
    if (isFresh(projects)) return true;
    const start = performance.now();
    const fingerprint = fingerprintOf(sourceFiles());
    const { code, output } = await run(process.execPath, [tool("typescript", "bin", "tsc"), "-b", ...projects], { quiet: true });
    if (code !== 0) {
      failure("The build failed.", output, "correct the lines above, then npm run build");
      return false;
    }
    const problem = hasProgram(projects) ? await bundle() : null;
    if (problem !== null) {
      failure("The program could not be bundled.", problem, "correct the lines above, then npm run build");
      return false;
    }
    mkdirSync(dirname(stampOf(projects)), { recursive: true });
    writeFileSync(stampOf(projects), fingerprint);
    done(`Built in ${seconds(start)}.`);
    return true;
  });
}

// Fresh: the sources are those of the last successful build and its output is still there. `tsc -b` alone needs a
// second to find that out; this needs some milliseconds, in every terminal that starts a node.
function isFresh(projects) {
  for (const project of withReferences(projects)) if (!existsSync(join(root, project, "dist", ".tsbuildinfo"))) return false;
  if (hasProgram(projects) && !isBundled()) return false;
  try {
    return readFileSync(stampOf(projects), "utf8") === fingerprintOf(sourceFiles());
  } catch {
    return false;
  }
}

function hasProgram(projects) {
  return withReferences(projects).has("packages/cli");
}

// `projects` and everything they refer to, directly or not.
function withReferences(projects) {
  const seen = new Set();
  const visit = (project) => {
    if (seen.has(project)) return;
    seen.add(project);
    const { references = [] } = JSON.parse(readFileSync(join(root, project, "tsconfig.json"), "utf8"));
    for (const reference of references) visit(join(project, reference.path));
  };
  for (const project of projects) visit(project);
  return seen;
}

function stampOf(projects) {
  const name = projects.map((project) => project.replaceAll("/", "-")).join("+");
  return join(root, ".cache", `build-${createHash("sha256").update(name).digest("hex").slice(0, 12)}`);
}

function sourceFiles() {
  const files = ["tsconfig.base.json", "tsconfig.json", "package-lock.json", "scripts/bundle.mjs"].map((name) => join(root, name));
  for (const project of allProjects()) {
    files.push(join(root, project, "package.json"), join(root, project, "tsconfig.json"));
    const source = join(root, project, "src");
    if (!existsSync(source)) continue;
    for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
    }
  }
  return files.toSorted((a, b) => (a < b ? -1 : 1));
}

function fingerprintOf(files) {
  const hash = createHash("sha256").update(process.versions.node);
  for (const file of files) {
    const status = statSync(file, { throwIfNoEntry: false });
    hash.update(`${relative(root, file)}\0${status?.size}\0${status?.mtimeMs}\n`);
  }
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await firstStep();
  const projects = process.argv.slice(2);
  const built = await build(projects.length > 0 ? projects : undefined);
  process.exit(built ? 0 : 1);
}
