// A run of vitest whose outcome a program can read.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, tool } from "./run.mjs";

/** Runs these files of these projects; `report` is null when it did not get so far as to write one. */
export async function vitest(projects, files) {
  const folder = mkdtempSync(join(tmpdir(), "trivet-test-"));
  const file = join(folder, "report.json");
  const args = [
    "run",
    ...projects.flatMap((project) => ["--project", project]),
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`,
    ...files,
  ];
  const { code } = await run(process.execPath, [tool("vitest", "vitest.mjs"), ...args]);
  try {
    return { code, report: JSON.parse(readFileSync(file, "utf8")) };
  } catch {
    return { code, report: null };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
