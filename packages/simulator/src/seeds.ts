import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { recordedOptions, type RunOptions } from "./options.ts";

/** A run that once failed, kept for ever: it must stay clean (docs/verification.md). */
export interface RecordedSeed {
  readonly name: string;
  /** What it broke when it was found. */
  readonly invariant: string;
  readonly note: string;
  readonly options: RunOptions;
}

const directory = fileURLToPath(new URL("../seeds/", import.meta.url));

export function recordedSeeds(): readonly RecordedSeed[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith(".json"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names.sort().map((file) => {
    const stored = JSON.parse(readFileSync(directory + file, "utf8")) as RecordedSeed;
    return { ...stored, name: file.slice(0, -".json".length), options: recordedOptions(stored.options.seed, stored.options) };
  });
}

/** Returns the path written, relative to the repository. */
export function recordSeed(seed: Omit<RecordedSeed, "name">): string {
  mkdirSync(directory, { recursive: true });
  const name = `${seed.invariant}-${seed.options.seed}`;
  writeFileSync(
    `${directory}${name}.json`,
    `${JSON.stringify({ invariant: seed.invariant, note: seed.note, options: seed.options }, null, 2)}\n`,
  );
  return `packages/simulator/seeds/${name}.json`;
}
