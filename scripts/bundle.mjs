// The program as few files: packages/cli/bundle, what `trivet` and `npm start` run. A node that loads 1500 modules one by one takes
// three seconds of processor time to start; from a bundle it takes one. The library (`@trivet/server`, embedded) stays as `tsc` writes it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "./lib/run.mjs";

/** What is started as a process or a thread of its own: found beside one another, by their names. */
const entries = ["packages/cli/dist/main.js", "packages/cli/dist/dev/node-process.js", "packages/server/dist/adapters/apply-thread.js"];

/** These read files of their own package at run time, or are native. `pg-native` is optional, and nobody asks for it. */
const external = ["lmdb", "@fastify/swagger-ui", "pg-native"];

const folder = join(root, "packages", "cli", "bundle");

/** Files of an earlier build stay this long after the one that did without them: a program that runs may load some of them yet. */
const keptMs = 24 * 3_600_000;

/** Is there a bundle? Whether it is of these sources, `build.mjs` knows. */
export function isBundled() {
  return entries.every((entry) => statSync(join(folder, entry.slice(entry.lastIndexOf("/") + 1)), { throwIfNoEntry: false })?.isFile());
}

/** Writes the bundle of what `tsc` has written. Returns what went wrong, null when nothing did. */
export async function bundle() {
  const { build } = await import("esbuild");
  mkdirSync(folder, { recursive: true });
  try {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: entries,
      entryNames: "[name]",
      outdir: folder,
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20",
      external,
      // Packages written for CommonJS ask for Node's own modules by `require`, which modules do not have.
      banner: {
        js: `import { createRequire as createBundleRequire } from "node:module";\nconst require = createBundleRequire(import.meta.url);`,
      },
      legalComments: "linked",
      logLevel: "silent",
      metafile: true,
    });
    removeOld(Object.keys(metafile.outputs).map((path) => basename(path)));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

// What the last build wrote, by name: a file's time says when it was written, and its day begins when a build does without it.
function removeOld(written) {
  const list = join(folder, "pieces.json");
  const former = existsSync(list) ? JSON.parse(readFileSync(list, "utf8")) : [];
  writeFileSync(list, JSON.stringify(written));
  const now = new Date();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (path === list || written.includes(name)) continue;
    if (former.includes(name)) utimesSync(path, now, now);
    else if (now.getTime() - statSync(path).mtimeMs > keptMs) rmSync(path, { force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problem = await bundle();
  if (problem !== null) console.error(problem);
  process.exit(problem === null ? 0 : 1);
}
