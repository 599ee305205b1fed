import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { RunOptions } from "../options.ts";

/** How a mutant is known to die. `invariant` is what breaks; without the mutant the same thing must hold. */
export type Kill =
  | { readonly kind: "seed"; readonly seed: number; readonly options: Partial<RunOptions>; readonly invariant: string }
  /** A scripted run on the real hosts, or on a pure core where that says it better. */
  | { readonly kind: "scenario"; readonly name: string; readonly invariant: string };

const file = fileURLToPath(new URL("../../mutants/kills.json", import.meta.url));

/** Recorded kills by mutant. */
export function recordedKills(): ReadonlyMap<string, Kill> {
  return new Map(Object.entries(JSON.parse(readFileSync(file, "utf8")) as Record<string, Kill>));
}

export function recordKills(kills: ReadonlyMap<string, Kill>): void {
  const sorted = [...kills].sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
}
