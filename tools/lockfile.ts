/**
 * Fails when `npm ci` would fail elsewhere or would fetch from an unexpected place. npm silently drops the binary packages of other
 * platforms from the lockfile when the registry lacks them, and then refuses to install from that lockfile.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

interface Entry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
export interface Lockfile {
  readonly packages: Readonly<Record<string, Entry>>;
}
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const registry = "https://registry.npmjs.org/";

/** Everything wrong with a lockfile, one line each. `manifests`: package.json by its folder, "" = the root. */
export function lockfileProblems(lockfile: Lockfile, manifests: Readonly<Record<string, Manifest>>): string[] {
  const { packages } = lockfile;
  const problems: string[] = [];
  if (Object.keys(packages).length === 0) problems.push("package-lock.json lists no packages");
  for (const [path, entry] of Object.entries(packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!resolves(packages, path, name))
        problems.push(`${path}: optional dependency ${name} is not in the lockfile; npm ci would refuse it`);
    }
    if (entry.resolved && !entry.link && !entry.resolved.startsWith(registry)) problems.push(`${path}: comes from ${entry.resolved}`);
    if (path.includes("node_modules/") && !entry.link && !entry.integrity) problems.push(`${path}: has no integrity hash`);
  }
  for (const [folder, manifest] of Object.entries(manifests)) {
    const entry = packages[folder];
    for (const kind of ["dependencies", "devDependencies"] as const) {
      const [here, locked] = [manifest[kind] ?? {}, entry?.[kind] ?? {}];
      for (const [name, version] of Object.entries(here)) {
        if (locked[name] !== version)
          problems.push(`${folder || "."}/package.json: ${name} ${version} differs from the lockfile (${locked[name] ?? "absent"})`);
        if (!/^\d/.test(version)) problems.push(`${folder || "."}/package.json: ${name} is not pinned (${version})`);
      }
    }
  }
  return problems;
}

// Node's look-up: the nearest node_modules, from the package outwards.
function resolves(packages: Lockfile["packages"], from: string, name: string): boolean {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf("/node_modules/")))) {
    if (`${base ? `${base}/` : ""}node_modules/${name}` in packages) return true;
    if (!base.includes("/node_modules/")) return `node_modules/${name}` in packages;
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const workspaces = (readJson(join(root, "package.json")) as { workspaces: string[] }).workspaces;
  const manifests = Object.fromEntries(
    ["", ...workspaces].map((folder) => [folder, readJson(join(root, folder, "package.json")) as Manifest]),
  );
  const problems = lockfileProblems(readJson(join(root, "package-lock.json")) as Lockfile, manifests);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
