import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readResults, writeResults } from "../results.ts";
import { charts } from "./charts.ts";
import { headline, withHeadline } from "./headline.ts";
import { page } from "./markdown.ts";
import { select, type Selection } from "./select.ts";

export interface ReportOptions {
  /** Root of the repository. */
  readonly root: string;
  /** Where runs leave their results. */
  readonly resultsFolder: string;
  /** Exactly these result files; none = all of the folder, and those of the present report. */
  readonly files: readonly string[];
  readonly quick: boolean;
}

/** Writes the page, its charts, the raw results, and what README.md says of them. */
export function writeReport({ root, resultsFolder, files, quick }: ReportOptions): {
  readonly written: string[];
  readonly selection: Selection;
} {
  const folder = join(root, "docs", "benchmarks");
  const published = join(folder, "results.json");
  const found = existsSync(resultsFolder)
    ? readdirSync(resultsFolder)
        .filter((name) => name.endsWith(".json"))
        .map((name) => join(resultsFolder, name))
    : [];
  const paths = files.length > 0 ? files : [...(existsSync(published) ? [published] : []), ...found];
  const sources = paths.map((path) => ({ path, file: readResults(path) }));
  const selection = select(sources, { quick, strict: files.length > 0 });
  const pictures = charts(selection.results);
  const readme = join(root, "README.md");
  const introduction = withHeadline(readFileSync(readme, "utf8"), headline(selection));
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (name.endsWith(".svg")) rmSync(join(folder, name));
  const written = [published, join(root, "docs", "benchmarks.md"), readme, ...pictures.map(({ file }) => join(folder, file))];
  const { machines, versions, results } = selection;
  const [machine] = Object.values(machines);
  if (machine === undefined) throw new Error("no machine was measured");
  writeResults(published, { machine, machines, versions, results });
  writeFileSync(join(root, "docs", "benchmarks.md"), page(selection, pictures));
  writeFileSync(readme, introduction);
  for (const { file, svg } of pictures) writeFileSync(join(folder, file), svg);
  return { written, selection };
}
