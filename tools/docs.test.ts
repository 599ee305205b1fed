import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commentsOf, documentProblems, generated, verbsOf, withGenerated } from "./docs.ts";
import { filesBelow } from "./lib/sources.ts";

const repository = join(dirname(fileURLToPath(import.meta.url)), "..");

const verbs = new Set(["help", "status", "lock", "lock *", "lock ls"]);
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "trivet-docs-"));
  mkdirSync(join(root, "docs"));
  writeFileSync(join(root, "package.json"), '{"scripts":{"check":"x"}}');
  for (const page of ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/limits.md"]) writeFileSync(join(root, page), "# Page\n");
});
afterEach(() => rmSync(root, { recursive: true }));
const problemsOf = (text: string, parts: Readonly<Record<string, string>> = {}): readonly string[] => {
  writeFileSync(join(root, "README.md"), text);
  return documentProblems(root, parts, verbs);
};

describe("document check", () => {
  it("accepts links, scripts and commands that exist", () => {
    const text =
      "[limits](docs/limits.md#sizes) [web](https://example.com) `npm run check` `npx trivet lock ls`, `trivet lock NAME`, `npx trivet lock orders -- true`\n\ntrivet is a word\n";
    expect(problemsOf(text)).toEqual([]);
  });

  it.each([
    ["a link that leads nowhere", "[x](docs/none.md)", "README.md:1: link to docs/none.md, which does not exist"],
    ["an npm script that does not exist", "run `npm run nothing`", "README.md:1: npm run nothing does not exist"],
    ["a verb that does not exist", "`trivet frobnicate`", "README.md:1: `trivet frobnicate` is not a command"],
    ["a second word that does not exist", "```bash\nnpx trivet lock steal x\n```", "README.md:2: `trivet lock steal` is not a command"],
    [
      "a command that nobody would run",
      "```\nSETTING=1\n\ncurl localhost\n```",
      "README.md:4: a command in a block without a language; ```bash has it run by a test",
    ],
    ["a command that is not on the PATH", "```bash\ntrivet status\n```", "README.md:2: in a clone it is `npx trivet`"],
  ])("finds %s", (_what, text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });

  it("takes what a command prints for no command", () => {
    expect(problemsOf("```\nTry:\n  curl localhost\n```\n\n```js\nnode.stop();\n```\n")).toEqual([]);
  });

  it("finds a generated page that differs from the sources", () => {
    expect(problemsOf("", { "docs/limits.md": "other" })).toEqual(["docs/limits.md differs from the sources; npm run docs writes it"]);
  });

  it("finds a document that is gone", () => {
    rmSync(join(root, "CONTRIBUTING.md"));
    expect(problemsOf("")).toEqual(["CONTRIBUTING.md is missing"]);
  });

  it("finds a decision that is not listed", () => {
    mkdirSync(join(root, "docs/decisions"));
    for (const name of ["0001-house.md", "0012-other.md"]) writeFileSync(join(root, "docs/decisions", name), "# It\n");
    const list = join(root, "docs/decisions/README.md");
    expect(problemsOf("")).toHaveLength(2);
    writeFileSync(list, "[1](0001-house.md)\n");
    expect(problemsOf("")).toEqual(["docs/decisions/README.md: 0012-other.md is not listed"]);
    writeFileSync(list, "[1](0001-house.md) [12](0012-other.md)\n");
    expect(problemsOf("")).toEqual([]);
  });

  it("tells what stands above a limit, in one line", () => {
    const source =
      "/** Of it\n * all. */\nexport const a: number = 1;\nexport const b: number = 2;\n/** An object. */\nx = {\n  /** One. */\n  readonly c: number;\n  d: 4,\n}\n";
    expect([...commentsOf(source)]).toEqual([
      ["a", "Of it all."],
      ["c", "One."],
    ]);
  });

  it("replaces only the generated part of a page", () => {
    const part = generated()["docs/limits.md"] ?? "";
    const before = `# Limits\n\n${part.replaceAll(/\| \d[\d,]* \|/g, "| 0 |")}\n\nWritten.\n`;
    expect(withGenerated(before, part)).toBe(`# Limits\n\n${part}\n\nWritten.\n`);
  });

  it("tells the limits of every file that has some", () => {
    const files = filesBelow(repository, "packages").filter((path) => /^packages\/[^/]+\/src\/(?:.*\/)?limits\.ts$/.test(path));
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((path) => !generated()["docs/limits.md"]?.includes(`(\`${path}\`)`))).toEqual([]);
  });

  it("knows the verbs of a program", () => {
    const program = {
      commands: [
        { name: () => "lock", commands: [{ name: () => "ls", commands: [] }] },
        { name: () => "status", commands: [] },
      ],
    };
    expect([...verbsOf(program)].toSorted()).toEqual(["help", "lock", "lock *", "lock ls", "status"]);
  });
});
