import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { architectureProblems, unseenFolders } from "./architecture.ts";
import { longFiles, maxLines, packageRules } from "./lib/rules.ts";
import { importsOf } from "./lib/sources.ts";

describe("architecture check", () => {
  let root: string;
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "trivet-architecture-"));
    for (const { folder } of Object.values(packageRules)) {
      write(`${folder}/package.json`, "{}");
      write(`${folder}/src/index.ts`, "export {};\n");
    }
    for (const path of Object.keys(longFiles)) write(path, "export {};\n".repeat(maxLines + 1));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("finds nothing wrong with a tree in order", () => {
    expect(architectureProblems(root)).toEqual([]);
  });

  it("finds nothing wrong with this repository's arrows", () => {
    const own = architectureProblems(join(dirname(fileURLToPath(import.meta.url)), ".."));
    expect(own.filter((problem) => problem.includes("must not"))).toEqual([]);
  });

  it("finds every folder that a rule names, here, and misses each where it is not", () => {
    expect(unseenFolders(join(dirname(fileURLToPath(import.meta.url)), ".."))).toEqual([]);
    expect(unseenFolders(root)).toContain("packages/engine/src/node: tools/lib/rules.ts names it, but no source file was seen");
  });

  const refused: readonly (readonly [what: string, path: string, text: string, expected: RegExp])[] = [
    [
      "an arrow that points back",
      "packages/core/src/a.ts",
      'import { x } from "@trivet/engine";\n',
      /core must not import @trivet\/engine/,
    ],
    ["a type import that points back", "packages/wire/src/a.ts", 'import type { x } from "@trivet/core";\n', /wire must not import/],
    ["a re-export that points back", "packages/engine/src/a.ts", 'export * from "@trivet/server";\n', /engine must not import/],
    ["a subpath that points back", "packages/client/src/a.ts", 'import "@trivet/engine/node";\n', /client must not import/],
    ["a type query that points back", "packages/core/src/a.ts", 'type T = typeof import("@trivet/server");\n', /core must not import/],
    ["Node in pure code", "packages/engine/src/a.ts", 'import { readFileSync } from "node:fs";\n', /engine is pure/],
    ["Node without its prefix in pure code", "packages/core/src/a.ts", 'import fs from "fs";\n', /node:fs/],
    ["a library in pure code", "packages/core/src/a.ts", 'import { z } from "zod";\n', /core is pure/],
    [
      "a library that contract may not have",
      "packages/contract/src/a.ts",
      'import f from "fastify";\n',
      /contract must not import fastify/,
    ],
    [
      "a relative path into another package",
      "packages/core/src/a.ts",
      'import { x } from "../../wire/src/bytes.ts";\n',
      /leaves packages\/core/,
    ],
    ["a relative import without its ending", "packages/core/src/a.ts", 'import { x } from "./b";\n', /end in \.ts/],
    [
      "a core that leans on another core",
      "packages/core/src/raft/a.ts",
      'import { x } from "../locks/b.ts";\n',
      /must not import packages\/core\/src\/locks/,
    ],
    [
      "a static import of the server by the CLI",
      "packages/cli/src/commands/serve.ts",
      'import { x } from "@trivet/server";\n',
      /only dynamically/,
    ],
    ["the server in another CLI verb", "packages/cli/src/commands/status.ts", 'await import("@trivet/server");\n', /cli must not import/],
    ["a file that grew too long", "packages/core/src/a.ts", "\n".repeat(maxLines + 1), /more than 400/],
    ["unfinished work", "packages/core/src/a.ts", ["// TO", "DO: later\n"].join(""), /unfinished work/],
    ["a test that is switched off", "packages/core/test/a.test.ts", ["it", 'skip("x", () => {});\n'].join("."), /switched off/],
    ["a path of one machine", "docs/a.md", ["see /home", "somebody", "notes\n"].join("/"), /path of one machine/],
    [
      "a dependency that points back",
      "packages/wire/package.json",
      '{"dependencies":{"@trivet/core":"0.1.0"}}',
      /must not depend on @trivet\/core/,
    ],
  ];
  it.each(refused)("refuses %s", (_what, path, text, expected) => {
    write(path, text);
    expect(architectureProblems(root)).toEqual([expect.stringMatching(expected)]);
  });

  it("refuses to pass when it saw no file of a package", () => {
    rmSync(join(root, "packages/core/src"), { recursive: true });
    expect(architectureProblems(root)).toEqual(["packages/core/src: no source file was seen"]);
  });

  it("accepts what the house allows", () => {
    write("packages/cli/src/commands/serve.ts", 'const { startNode } = await import("@trivet/server");\n');
    write("packages/engine/src/a.ts", 'import type { A } from "@trivet/core";\nimport { mutant } from "@trivet/core/mutation";\n');
    write("packages/core/src/b.ts", '/** import { x } from "node:fs" */\nexport const text = "it is";\n');
    expect(architectureProblems(root)).toEqual([]);
  });
});

describe("import scanner", () => {
  it("sees every form of import and none in comments", () => {
    const text = [
      'import { a,\n  b } from "one";',
      'export * from "two";',
      'import "three";',
      'const x = await import("four");',
      '// import "five";',
      '/* import { y } from "six"; */',
      'const url = "http://seven";',
    ].join("\n");
    expect(importsOf(text).map((found) => [found.specifier, found.dynamic, found.line])).toEqual([
      ["one", false, 1],
      ["two", false, 3],
      ["three", false, 4],
      ["four", true, 5],
    ]);
  });
});
