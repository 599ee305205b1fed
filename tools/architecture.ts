/**
 * Fails when an arrow of the house points back, when pure code touches Node, when a file grew too long, or when unfinished or
 * switched-off work was left in the sources. Run by `npm run check`.
 */
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join } from "node:path";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { dynamicOnly, folderRules, longFiles, maxLines, packageRules } from "./lib/rules.ts";
import type { PackageRule } from "./lib/rules.ts";
import { filesBelow, lineAt, sourcesBelow, withoutComments } from "./lib/sources.ts";
import type { Import, SourceFile } from "./lib/sources.ts";

const scope = "@trivet/";

/** Everything wrong with the tree at `root`, one line each; empty = in order. */
export function architectureProblems(root: string): string[] {
  const problems: string[] = [];
  for (const [name, rule] of Object.entries(packageRules)) {
    const sources = sourcesBelow(root, `${rule.folder}/src`);
    // A check that looked at nothing must not pass (a moved folder would switch it off silently).
    if (sources.length === 0) problems.push(`${rule.folder}/src: no source file was seen`);
    for (const source of sources) for (const found of source.imports) problems.push(...importProblems(name, rule, source, found));
    problems.push(...manifestProblems(root, name, rule));
  }
  const everything = ["packages", "benchmarks", "tools", "scripts", "test"].flatMap((folder) => sourcesBelow(root, folder));
  for (const source of everything) problems.push(...textProblems(source), ...lengthProblems(source));
  for (const path of Object.keys(longFiles)) {
    if (!everything.some((source) => source.path === path)) problems.push(`${path}: listed as a long file, but it does not exist`);
  }
  return [...problems, ...machinePathProblems(root)];
}

/** Folders that a rule names and that are not there: a renamed one would switch its rule off silently. */
export function unseenFolders(root: string): string[] {
  const named = folderRules.flatMap(({ folder, mustNotImport }) => [
    folder,
    ...mustNotImport.map((name) => `${posix.dirname(folder)}/${name}`),
  ]);
  return [...new Set(named)]
    .filter((path) => sourcesBelow(root, path).length === 0)
    .map((path) => `${path}: tools/lib/rules.ts names it, but no source file was seen`);
}

function importProblems(name: string, rule: PackageRule, source: SourceFile, found: Import): string[] {
  const at = `${source.path}:${found.line}`;
  const { specifier } = found;
  if (specifier.startsWith(".")) return relativeProblems(rule, source, found, at);
  if (specifier.startsWith("#")) return [];
  if (specifier.startsWith(scope)) {
    const target = specifier.slice(scope.length).split("/")[0] ?? "";
    if (target === name || rule.mayImport.includes(target) || rule.mayImport.includes(specifier.slice(scope.length))) return [];
    if (dynamicOnly.some((entry) => entry.target === target && entry.file.test(source.path))) {
      return found.dynamic ? [] : [`${at}: ${specifier} may be imported here only dynamically`];
    }
    const allowed = rule.mayImport.join(", ") || "no workspace";
    return [`${at}: ${name} must not import ${specifier} (it may import ${allowed})`];
  }
  const isNode = specifier.startsWith("node:") || builtinModules.includes(specifier);
  if (isNode && !specifier.startsWith("node:")) return [`${at}: write node:${specifier}`];
  if (rule.pure) return [`${at}: ${name} is pure and must not import ${specifier}`];
  if (!isNode && rule.outside && !rule.outside.some((allowed) => specifier === allowed || specifier.startsWith(`${allowed}/`))) {
    return [`${at}: ${name} must not import ${specifier}`];
  }
  return [];
}

function relativeProblems(rule: PackageRule, source: SourceFile, found: Import, at: string): string[] {
  const target = posix.join(posix.dirname(source.path), found.specifier);
  if (!target.startsWith(`${rule.folder}/src/`))
    return [`${at}: ${found.specifier} leaves ${rule.folder}/src; import the workspace by its name`];
  if (!/\.(?:ts|mts|json)$/.test(target)) return [`${at}: relative imports end in .ts (${found.specifier})`];
  const problems: string[] = [];
  for (const { folder, mustNotImport } of folderRules) {
    if (!source.path.startsWith(`${folder}/`)) continue;
    const other = mustNotImport.find((name) => target.startsWith(`${posix.dirname(folder)}/${name}/`));
    if (other) problems.push(`${at}: ${folder} must not import ${posix.dirname(folder)}/${other}`);
  }
  return problems;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
}

function manifestProblems(root: string, name: string, rule: PackageRule): string[] {
  const manifest = JSON.parse(readFileSync(join(root, rule.folder, "package.json"), "utf8")) as Manifest;
  const problems: string[] = [];
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    const own = dependency.startsWith(scope) ? dependency.slice(scope.length) : null;
    const allowed =
      own === null
        ? rule.outside === null || rule.outside.includes(dependency)
        : rule.mayImport.some((target) => target.split("/")[0] === own) || (own === "server" && name === "cli");
    if (!allowed) problems.push(`${rule.folder}/package.json: ${name} must not depend on ${dependency}`);
  }
  return problems;
}

const leftovers: readonly { readonly pattern: RegExp; readonly what: string; readonly inComments: boolean }[] = [
  // A class of one letter, so that this file does not find itself.
  { pattern: /\b(?:TOD[O]|FIXM[E]|XX[X])\b/g, what: "unfinished work", inComments: true },
  {
    pattern: /\b(?:it|test|describe|suite)\.(?:only|skip|todo)\b/g,
    what: "a test that is switched off, or switches others off",
    inComments: false,
  },
];

function textProblems(source: SourceFile): string[] {
  const code = withoutComments(source.text);
  return leftovers.flatMap(({ pattern, what, inComments }) => {
    const text = inComments ? source.text : code;
    return [...text.matchAll(pattern)].map((match) => `${source.path}:${lineAt(text, match.index)}: ${match[0]}: ${what}`);
  });
}

function lengthProblems(source: SourceFile): string[] {
  const lines = source.text.split("\n").length - 1;
  const allowed = source.path in longFiles;
  if (lines > maxLines && !allowed) return [`${source.path}: ${lines} lines, more than ${maxLines}; split it by concept`];
  if (lines <= maxLines && allowed) return [`${source.path}: no longer too long; take it off the list of long files`];
  return [];
}

// Paths of the machine somebody worked on mean nothing to a reader and break on every other machine.
function machinePathProblems(root: string): string[] {
  const machinePath = /["'`\s(=](?:\/wor[k]|\/roo[t]|\/hom[e]\/\w+)\/[\w.]/g;
  const folders = ["packages", "benchmarks", "tools", "scripts", "test", "docs", ".ci"];
  const files = [...folders.flatMap((folder) => filesBelow(root, folder)), "README.md", "CONTRIBUTING.md", "package.json"];
  return files
    .filter((path) => /\.(?:ts|mjs|js|md|json|yaml|yml|sh)$|\/run$/.test(path))
    .flatMap((path) => {
      const text = readIfThere(join(root, path));
      return [...text.matchAll(machinePath)].map(
        (match) => `${path}:${lineAt(text, match.index)}: names a path of one machine (${match[0].trim()})`,
      );
    });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const problems = [...architectureProblems(root), ...unseenFolders(root)];
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
