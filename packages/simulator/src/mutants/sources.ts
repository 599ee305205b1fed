import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const roots = ["../../../core/src/", "../../../engine/src/"].map((path) => fileURLToPath(new URL(path, import.meta.url)));

/** Names of all switches in the sources, `mutant("name")`, with the file each stands in. */
export function mutantsInSources(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const root of roots) {
    for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
      if (!path.endsWith(".ts") || path.startsWith("mutation-")) continue;
      for (const [, name] of readFileSync(root + path, "utf8").matchAll(/\bmutant\("([^"]+)"\)/g)) {
        if (name !== undefined && !found.has(name)) found.set(name, path);
      }
    }
  }
  return found;
}
