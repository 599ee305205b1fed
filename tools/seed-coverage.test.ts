import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  compatibilityProblems,
  requiredRows,
  requiredStatements,
  seedCoverageProblems,
  troubleProblems,
  unaskedRows,
} from "./seed-coverage.ts";

let root: string;
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "trivet-seeds-"));
  write("a/b.test.ts", 'it("holds", () => {}); it.each([["one case"]])("%s", () => {});');
  write("packages/simulator/src/mutants/registry.ts", '{ "bug-one": "breaks" }');
});
afterEach(() => rmSync(root, { recursive: true }));

const problemsOf = (table: string, required = ["W-01"]): readonly string[] => {
  write("docs/seed-coverage.md", `# Page\n\n| Row | Weakness | Shown by |\n|---|---|---|\n${table}\n`);
  return seedCoverageProblems(root, required);
};

describe("the check of the seed coverage", () => {
  it("accepts rows whose tests and mutants are there", () => {
    expect(problemsOf('| W-01 | it fails | `a/b.test.ts` "holds"; `a/b.test.ts` "one case"; mutant `bug-one` |')).toEqual([]);
  });

  it.each([
    ["an empty table", "", ["docs/seed-coverage.md: no row was read", "docs/seed-coverage.md: W-01 stands there 0 times, expected once"]],
    ["a row without evidence", "| W-01 | it fails |  |", ["docs/seed-coverage.md:5: W-01: no test and no mutant is named"]],
    ["a file that is gone", '| W-01 | it fails | `a/c.test.ts` "holds" |', ["docs/seed-coverage.md:5: W-01: a/c.test.ts does not exist"]],
    ["half a title", '| W-01 | it fails | `a/b.test.ts` "hold" |', ['docs/seed-coverage.md:5: W-01: a/b.test.ts has no test "hold"']],
    ["an unknown mutant", "| W-01 | it fails | mutant `bug` |", ["docs/seed-coverage.md:5: W-01: there is no mutant bug"]],
    [
      "words that name nothing",
      "| W-01 | it fails | mutant `bug-one`; surely |",
      ['docs/seed-coverage.md:5: W-01: "surely" is neither a test nor a mutant'],
    ],
    ["a row without words", "| W-01 |  | mutant `bug-one` |", ["docs/seed-coverage.md:5: W-01: the weakness has 0 words, expected 1 to 6"]],
  ])("finds %s", (_what, table, problems) => {
    expect(problemsOf(table)).toEqual(problems);
  });

  it("finds a row that stands there twice, and a page that is gone", () => {
    const row = "| W-01 | it fails | mutant `bug-one` |";
    expect(problemsOf(`${row}\n${row}`)).toEqual(["docs/seed-coverage.md: W-01 stands there 2 times, expected once"]);
    rmSync(join(root, "docs"), { recursive: true });
    expect(seedCoverageProblems(root, [])).toEqual(["docs/seed-coverage.md: no row was read"]);
  });

  it("requires every row of the study", () => {
    expect(requiredRows).toHaveLength(25 + 96);
    expect(requiredRows).toEqual(expect.arrayContaining(["T-01", "T-25", "W-01", "W-52", "W-96"]));
  });
});

const problemsOfTroubles = (text: string): readonly string[] => {
  write("docs/troubleshooting.md", text);
  return troubleProblems(root, ["T-01", "T-02"]);
};

describe("the check of the troubles", () => {
  const second = "| x | y | z | T-02 (S1) | `a/b.test.ts` |\n";

  it("accepts rows with a test that is there, and rows that no document has", () => {
    expect(problemsOfTroubles("| no leader | is T-09 | do | T-01 (S0), T-02 (S4) | `a/b.test.ts` |\n| other | is | do | | |\n")).toEqual(
      [],
    );
  });

  it.each([
    ["a page without the row", "", "docs/troubleshooting.md: T-01 stands there 0 times, expected once"],
    [
      "a row that stands there twice",
      second.replace("02", "01").repeat(2),
      "docs/troubleshooting.md: T-01 stands there 2 times, expected once",
    ],
    ["a row without a test", "| x | y | z | T-01 (S0) | |\n", "docs/troubleshooting.md: T-01 names no test in its last column"],
    ["a test that is gone", "| x | y | z | T-01 (S0) | `a/c.test.ts` |\n", "docs/troubleshooting.md: T-01: a/c.test.ts does not exist"],
  ])("finds %s", (_what, text, problem) => expect(problemsOfTroubles(`${text}${second}`)).toEqual([problem]));

  it("finds a row of nobody", () => {
    expect(problemsOfTroubles(`${second}${second.replace("02", "01")}${second.replace("02", "77")}`)).toEqual([
      "docs/troubleshooting.md: T-77 is no row of the study",
    ]);
  });
});

const problemsOfPage = (text: string): readonly string[] => {
  write("docs/compatibility.md", text);
  return compatibilityProblems(root, ["K-01", "K-02"]);
};

describe("the check of the compatibility page", () => {
  const second = "| K-02 | `a | b` | the same |\n".replace(" | b", " \\| b");

  it("accepts each row once, and files that are there", () => {
    write("scripts/run.sh", "");
    expect(problemsOfPage(`| K-01 | run | \`bash scripts/run.sh --now\`, \`npm start\` |\n${second}`)).toEqual([]);
  });

  it.each([
    ["a row that is gone", "", "docs/compatibility.md: K-01 stands there 0 times, expected once"],
    ["a row that says nothing", "| K-01 | run | |\n", "docs/compatibility.md:1: K-01 says nothing"],
    ["a row of nobody", "| K-01 | a | b |\n| K-99 | a | b |\n", "docs/compatibility.md:2: K-99 is no row of the study"],
    ["a file that is gone", "| K-01 | run | `scripts/gone.sh` |\n", "docs/compatibility.md:1: K-01: scripts/gone.sh does not exist"],
  ])("finds %s", (_what, text, problem) => expect(problemsOfPage(`${text}${second}`)).toEqual([problem]));

  it("asks for every row of the study, each once", () => {
    expect(requiredStatements).toHaveLength(245);
    expect(new Set([...requiredStatements, ...requiredRows]).size).toBe(245 + requiredRows.length);
    expect(requiredStatements).toEqual(expect.arrayContaining(["K-07", "L-04", "X-35"]));
  });

  it("finds a row of the study that nothing asks for", () => {
    write("clone/empty", "");
    write("shared/reference/seeds.md", "| ID | What |\n|---|---|\n| K-01 | a |\n| K-34 | b |\n");
    expect(unaskedRows(join(root, "clone"))).toEqual(["../shared/reference/seeds.md: K-34 is asked for by no page"]);
    expect(unaskedRows(join(root, "clone", "elsewhere"))).toEqual([]);
  });
});
