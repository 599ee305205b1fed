/**
 * URL of a module beside the one asking, for worker threads and child processes. The compiler rewrites `.ts` in imports but not in
 * strings; a process that runs the sources unbuilt needs the other ending.
 */
export function siblingModule(importMetaUrl: string, path: string): URL {
  return new URL(path + (importMetaUrl.endsWith(".ts") ? ".ts" : ".js"), importMetaUrl);
}

/** Flags of Node that run `module`: none once built; the source condition and a TypeScript loader for the sources. */
export function flagsFor(module: URL): string[] {
  return module.pathname.endsWith(".ts") ? ["--conditions=source", "--import", "tsx"] : [];
}
