import { readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { engineFlags } from "../src/engine-flags.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

test("every way to start a node starts it with the flags of the engine", () => {
  const given = engineFlags.join(" ");
  expect(read("../bin/trivet.mjs").split("\n")[0]).toBe(`#!/usr/bin/env -S node ${given} --`);
  const { scripts } = JSON.parse(read("../../../package.json")) as { readonly scripts: Readonly<Record<string, string>> };
  for (const name of ["start", "node"]) expect(scripts[name]?.startsWith(`node ${given} -- `)).toBe(true);
});

test("this version of Node knows the flags", () => {
  const { status, stdout } = spawnSync(process.execPath, [...engineFlags, "-p", "'started'"], { encoding: "utf8" });
  expect([status, stdout.trim()]).toEqual([0, "started"]);
});
