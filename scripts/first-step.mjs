// The first step of `npm start` and `npm test`: works on a fresh clone, so it may import nothing outside Node.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { npm, root } from "./lib/run.mjs";
import { withLock } from "./lib/lock.mjs";
import { done, failure, say, seconds } from "./lib/say.mjs";

/** Oldest Node that works: 20.19 (package.json "engines"). */
const oldestNode = [20, 19];

/** Folder that serialises installing and building between the processes of one checkout. */
export const buildLock = join(root, ".build-lock");

/** Checks Node, then installs the dependencies when they differ from package-lock.json. Ends the process when it cannot. */
export async function firstStep() {
  const found = process.versions.node.split(".").map(Number);
  if (found[0] < oldestNode[0] || (found[0] === oldestNode[0] && found[1] < oldestNode[1])) {
    failure(
      `Node ${process.versions.node} is too old.`,
      `Trivet needs Node ${oldestNode.join(".")} or newer.`,
      "install a current Node from https://nodejs.org and run the same command again",
    );
    process.exit(69);
  }
  if (!whyInstall()) return;
  await withLock(buildLock, "is installing or building", install);
}

async function install() {
  const why = whyInstall();
  if (!why) return;
  const start = performance.now();
  say(`Installing dependencies (npm ci): ${why}. This takes about ten seconds.`);
  // NODE_ENV=production would leave the compiler out, and without it nothing can be built.
  const { code } = await npm(["ci", "--include=dev"]);
  const missing = code === 0 ? whyInstall() : `npm ci ended with exit code ${code}`;
  if (missing) {
    failure("The dependencies could not be installed.", missing, "npm ci");
    process.exit(69);
  }
  done(`Dependencies installed in ${seconds(start)}.`);
}

/** Null when node_modules is what package-lock.json says; else the reason why not. */
export function whyInstall(folder = root) {
  const modules = join(folder, "node_modules");
  if (!existsSync(modules)) return "node_modules is missing";
  const wanted = packagesIn(join(folder, "package-lock.json"));
  const installed = packagesIn(join(modules, ".package-lock.json"));
  if (!wanted) return "package-lock.json cannot be read";
  if (!installed) return "node_modules was not installed completely";
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith("node_modules/") || entry.optional || entry.devOptional || entry.peer) continue;
    const have = installed[path];
    if (!have || have.version !== entry.version || have.integrity !== entry.integrity) {
      return `package-lock.json changed (${path.slice("node_modules/".length)})`;
    }
    if (!existsSync(join(folder, path))) return `${path} is missing`;
  }
  return null;
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages ?? null;
  } catch {
    return null;
  }
}
