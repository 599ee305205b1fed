/** The Grafana boards are generated (`--write`) from tools/lib/boards.ts, and checked: each file is what the source says, and no other is there. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { boardFiles } from "./lib/boards.ts";

export const boardFolder = "docker/monitoring/grafana/boards";

/** What is wrong with the boards of the tree at `root`. */
export function boardProblems(root: string): string[] {
  const folder = join(root, boardFolder);
  const files = boardFiles();
  const there = readdirSync(folder);
  const read = (file: string): string => readFileSync(join(folder, file), "utf8");
  return [
    ...[...files].flatMap(([file, text]) =>
      there.includes(file) && read(file) === text
        ? []
        : [`${boardFolder}/${file} differs from tools/lib/boards.ts; npm run docs writes it`],
    ),
    ...there.filter((file) => !files.has(file)).map((file) => `${boardFolder}/${file} comes from no board of tools/lib/boards.ts`),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  if (process.argv.includes("--write")) {
    mkdirSync(join(root, boardFolder), { recursive: true });
    for (const [file, text] of boardFiles()) writeFileSync(join(root, boardFolder, file), text);
  }
  const problems = boardProblems(root);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
