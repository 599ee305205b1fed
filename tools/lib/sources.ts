import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

/** One import found in a source file. */
export interface Import {
  readonly specifier: string;
  readonly dynamic: boolean;
  readonly line: number;
}

export interface SourceFile {
  /** Relative to the repository, with "/". */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const skippedFolders = new Set(["node_modules", "dist", "bundle", ".git", "coverage", "data", "logs", ".cache", ".build-lock"]);

/** Paths of all files below `folder`, relative to `root`, sorted. Missing folder: none. */
export function filesBelow(root: string, folder: string): string[] {
  const start = join(root, folder);
  if (!existsSync(start)) return [];
  const found: string[] = [];
  const visit = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) {
        if (!skippedFolders.has(entry.name)) visit(path);
      } else if (entry.isFile()) found.push(relative(root, path).split(sep).join("/"));
    }
  };
  visit(start);
  return found.toSorted();
}

/** Reads the TypeScript and JavaScript files below `folder`. */
export function sourcesBelow(root: string, folder: string): SourceFile[] {
  return filesBelow(root, folder)
    .filter((path) => /\.(?:ts|mts|tsx|mjs|js)$/.test(path))
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return { path, text, imports: importsOf(text) };
    });
}

const staticImport = /^[ \t]*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/gm;
const bareImport = /^[ \t]*import\s*["']([^"']+)["']/gm;
const dynamicImport = /\b(?:import|require)\s*\(\s*["']([^"']+)["']/g;

/**
 * Imports of a source text. TypeScript 7 has no compiler API, so this reads text: comments are blanked first, and the
 * formatter keeps every import at the beginning of a line.
 */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  const collect = (pattern: RegExp, dynamic: boolean): void => {
    for (const match of code.matchAll(pattern)) {
      const specifier = match[1];
      if (specifier !== undefined) found.push({ specifier, dynamic, line: lineAt(code, match.index) });
    }
  };
  collect(staticImport, false);
  collect(bareImport, false);
  collect(dynamicImport, true);
  return found;
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/** Replaces comments by spaces, so that positions stay; leaves strings alone. */
export function withoutComments(text: string): string {
  // A string, a template without nested templates, or a comment: whichever starts first wins.
  const tokens = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(tokens, (token) => (token.startsWith("//") || token.startsWith("/*") ? token.replace(/[^\n]/g, " ") : token));
}
