import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CliError } from "@trivet/cli";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkProgram, startFailure } from "../src/locking/program-file.ts";

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

function exitOf(program: string, path: string): number {
  try {
    checkProgram(program, { PATH: path });
    return 0;
  } catch (error) {
    return (error as CliError).exitCode;
  }
}

describe("the program that is to run under a lock", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-program-"));
    for (const place of ["first", "second"]) mkdirSync(join(folder, place));
    writeFileSync(join(folder, "first", "tool"), "");
    writeFileSync(join(folder, "second", "tool"), "#!/bin/sh\n");
    chmodSync(join(folder, "second", "tool"), 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const at = (...places: readonly string[]): string => places.map((place) => join(folder, place)).join(":");

  it("is looked for in PATH, past files of its name that may not be executed", () => {
    expect(exitOf("tool", at("first", "second"))).toBe(0);
    expect(exitOf("tool", at("none", "second"))).toBe(0);
    expect(exitOf(join(folder, "second", "tool"), "")).toBe(0);
  });

  it("is not there: 127", () => {
    expect(exitOf("tool", at("none"))).toBe(127);
    expect(exitOf(join(folder, "none"), at("second"))).toBe(127);
  });

  it("may not be executed, or is a folder: 126", () => {
    expect(exitOf("tool", at("first"))).toBe(126);
    expect(exitOf(folder, "")).toBe(126);
  });

  it("a start that fails all the same has the same two codes", () => {
    expect(startFailure("tool", failure("ENOENT")).exitCode).toBe(127);
    expect(startFailure("tool", failure("EACCES")).exitCode).toBe(126);
    expect(startFailure("tool", failure("E2BIG"))).toMatchObject({ exitCode: 126, why: "E2BIG" });
  });
});
