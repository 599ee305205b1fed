/**
 * docs/seed-coverage.md says for each weakness of the programs before us which test or mutant shows that ours does not have it, docs/cache-races.md the
 * same of each race of the cache, docs/troubleshooting.md what to do about each trouble, and docs/compatibility.md what became of everything else that
 * the source documents name. Fails when a row is missing, says nothing, or names a test, a mutant or a file that is not there. Run by `npm run check`.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const seedPage = "docs/seed-coverage.md";
const racePage = "docs/cache-races.md";
const troublePage = "docs/troubleshooting.md";
const compatibilityPage = "docs/compatibility.md";
const study = "../shared/reference/seeds.md";
const mutantRegistries = ["registry", "cache-mutants", "placement-mutants", "queue-mutants"].map(
  (name) => `packages/simulator/src/mutants/${name}.ts`,
);

const numbered = (letter: string, numbers: readonly number[]): string[] => numbers.map((n) => `${letter}-${String(n).padStart(2, "0")}`);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Every row of the study: its troubles and its weaknesses. */
export const requiredRows: readonly string[] = [...numbered("T", range(1, 25)), ...numbered("W", range(1, 96))];

/** Races of the study of the cache. */
export const requiredRaces: readonly string[] = numbered("R", range(1, 35));

/** What the source documents name, by kinds: parts, paths, settings, ports, prerequisites, commands, files, log lines, numbers, … */
const counts = { C: 25, E: 30, V: 27, P: 10, Q: 6, K: 33, F: 18, L: 12, N: 14, G: 11, B: 6, U: 7, M: 6, O: 5, X: 35 };
export const requiredStatements: readonly string[] = Object.entries(counts).flatMap(([letter, count]) => numbered(letter, range(1, count)));

const mostWords = 6;
/** What you see, what it is, what to do, rows of the study, test. */
const troubleColumns = 5;

interface Row {
  readonly id: string;
  readonly weakness: string;
  readonly evidence: string;
  readonly line: number;
}

/** Everything wrong with a page, one line each; empty = in order. */
export function seedCoverageProblems(root: string, required: readonly string[] = requiredRows, page: string = seedPage): string[] {
  const rows = rowsOf(read(root, page) ?? "");
  const problems: string[] = [];
  // A check that looked at nothing must not pass.
  if (rows.length === 0) problems.push(`${page}: no row was read`);
  for (const id of required) {
    const found = rows.filter((row) => row.id === id).length;
    if (found !== 1) problems.push(`${page}: ${id} stands there ${found} times, expected once`);
  }
  const mutants = mutantRegistries.map((file) => read(root, file) ?? "").join("\n");
  for (const row of rows) problems.push(...rowProblems(root, row, mutants).map((problem) => `${page}:${row.line}: ${row.id}: ${problem}`));
  return problems;
}

/** Each trouble (T) stands in one row of the table, in its last column but one; and the last has the file of a test that is there. */
export function troubleProblems(root: string, troubles: readonly string[] = numbered("T", range(1, 25))): string[] {
  const rows = (read(root, troublePage) ?? "").split("\n").map((line) => {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    const [ids = "", test = ""] = cells.slice(-2);
    const named: readonly string[] = cells.length === troubleColumns ? [...ids.matchAll(/\bT-\d+\b/g)].map(([id]) => id) : [];
    return { ids: named, test: /^ `([^`]+\.test\.ts)` $/.exec(test)?.[1] };
  });
  const unasked = rows.flatMap(({ ids }) =>
    ids.filter((id) => !troubles.includes(id)).map((id) => `${troublePage}: ${id} is no row of the study`),
  );
  const problems = troubles.flatMap((id) => {
    const [row, ...others] = rows.filter(({ ids }) => ids.includes(id));
    if (row === undefined || others.length > 0)
      return [`${troublePage}: ${id} stands there ${row === undefined ? 0 : others.length + 1} times, expected once`];
    if (row.test === undefined) return [`${troublePage}: ${id} names no test in its last column`];
    return existsSync(join(root, row.test)) ? [] : [`${troublePage}: ${id}: ${row.test} does not exist`];
  });
  return [...unasked, ...problems];
}

/** Each statement of the documents stands once in the page, with what they have and what we have; files that are named exist. */
export function compatibilityProblems(root: string, required: readonly string[] = requiredStatements): string[] {
  const rows = rowsOf(read(root, compatibilityPage) ?? "");
  const problems = required.flatMap((id) => {
    const found = rows.filter((row) => row.id === id).length;
    return found === 1 ? [] : [`${compatibilityPage}: ${id} stands there ${found} times, expected once`];
  });
  for (const { id, weakness, evidence, line } of rows) {
    const place = `${compatibilityPage}:${line}: ${id}`;
    if (!required.includes(id)) problems.push(`${place} is no row of the study`);
    if (weakness === "" || evidence === "") problems.push(`${place} says nothing`);
    for (const [, path = ""] of evidence.matchAll(namedFile))
      if (!existsSync(join(root, path))) problems.push(`${place}: ${path} does not exist`);
  }
  return problems;
}

/** Rows of the study itself, where it lies beside the checkout, that no page is asked for: the lists above have to be complete. */
export function unaskedRows(root: string, asked: readonly string[] = [...requiredRows, ...requiredStatements]): string[] {
  const rows = new Set((read(root, study) ?? "").split("\n").flatMap((line) => /^\| ([A-Z]-\d+) \|/.exec(line)?.[1] ?? []));
  return [...rows].filter((id) => !asked.includes(id)).map((id) => `${study}: ${id} is asked for by no page`);
}

function rowsOf(text: string): Row[] {
  return text.split("\n").flatMap((line, index) => {
    const [id, weakness, evidence] = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
    const isRow = id !== undefined && /^[A-Z]-\d+$/.test(id);
    return isRow ? [{ id, weakness: weakness ?? "", evidence: evidence ?? "", line: index + 1 }] : [];
  });
}

const namedTest = /`([^`]+\.test\.ts)` "([^"]+)"/g;
const namedFile = /`(?:bash )?((?:packages|test|tools|scripts|docker|docs|deploy|benchmarks)\/[\w./-]+)[^`]*`/g;
const namedMutant = /mutant `([^`]+)`/g;

function rowProblems(root: string, { weakness, evidence }: Row, mutants: string): string[] {
  const problems: string[] = [];
  const words = weakness.split(/\s+/).filter((word) => word !== "").length;
  if (words === 0 || words > mostWords) problems.push(`the weakness has ${words} words, expected 1 to ${mostWords}`);
  const tests = [...evidence.matchAll(namedTest)];
  const named = [...evidence.matchAll(namedMutant)];
  if (tests.length + named.length === 0) problems.push("no test and no mutant is named");
  const rest = evidence.replaceAll(namedTest, "").replaceAll(namedMutant, "").replaceAll(";", "").trim();
  if (rest !== "") problems.push(`"${rest}" is neither a test nor a mutant`);
  for (const [, path = "", title = ""] of tests) {
    const source = read(root, path);
    if (source === null) problems.push(`${path} does not exist`);
    else if (!hasTitle(source, title)) problems.push(`${path} has no test "${title}"`);
  }
  for (const [, name = ""] of named) if (!mutants.includes(`"${name}":`)) problems.push(`there is no mutant ${name}`);
  return problems;
}

/** A title is a whole string of the source: that of a test, or of one case of a table of tests. */
function hasTitle(source: string, title: string): boolean {
  return ['"', "'", "`"].some((quote) => source.includes(`${quote}${title}${quote}`));
}

function read(root: string, path: string): string | null {
  const file = join(root, path);
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const problems = [
    ...seedCoverageProblems(root),
    ...seedCoverageProblems(root, requiredRaces, racePage),
    ...troubleProblems(root),
    ...compatibilityProblems(root),
    ...unaskedRows(root),
  ];
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
