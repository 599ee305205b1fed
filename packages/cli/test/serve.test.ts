import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const tsx = import.meta.resolve("tsx");
let folder: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-serve-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  /** Resolves when stdout holds the text. */
  says(text: string): Promise<void>;
  out: string;
  err: string;
}
function serve(args: readonly string[], ipc = false): Run {
  const child = spawn(process.execPath, ["--conditions=source", "--import", tsx, "--", main, "serve", ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, LOG_DIR: join(folder, "logs") },
    stdio: ipc ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const waiting: { readonly text: string; readonly heard: () => void }[] = [];
  const run: Run = {
    child,
    ended,
    out: "",
    err: "",
    says: (text) => new Promise((heard) => (run.out.includes(text) ? heard() : waiting.push({ text, heard }))),
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    run.out += text;
    for (const { text: wanted, heard } of waiting) if (run.out.includes(wanted)) heard();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    run.err += text;
  });
  return run;
}
const oneNode = ["--port", "0", "--node-id", "node1"];

describe("trivet serve", () => {
  test("a bad value: what is wrong and where, without a stack trace, exit 78 (L-11)", async () => {
    writeFileSync(join(folder, "one.env"), 'RAFT_PEERS={"node1":"http://node1:8001",}\n');
    const bad = serve(["--env-file", "one.env", "--node-type", "lock"]);
    expect(await bad.ended).toBe(78);
    expect(bad.err).toContain("RAFT_PEERS=");
    expect(bad.err).toContain("position 30");
    expect(bad.err).not.toMatch(/^\s+at /m);
  });

  test("an unknown role is exit 64 and names the help (T-13)", async () => {
    const bad = serve(["--node-type", "database"]);
    expect(await bad.ended).toBe(64);
    expect(bad.err).toContain("trivet serve --help");
  });

  test("a missing env file is our own error", async () => {
    const bad = serve(["--env-file", "missing.env"]);
    expect(await bad.ended).toBe(78);
    expect(bad.err).toContain("--env-file missing.env: no such file");
  });

  test("a data directory that another process has: one line and what next, exit 74", async () => {
    const node = serve(oneNode);
    await node.says("LEADER");
    const second = serve(oneNode);
    expect(await second.ended).toBe(74);
    expect(second.err).toMatch(
      new RegExp(
        `^error: .* is in use by another process \\(pid ${node.child.pid} on .*\\); two nodes .*\\nnext: .*DATA_DIR of its own\\n$`,
      ),
    );
    expect(second.out).not.toContain("in use");
    node.child.kill("SIGTERM");
    expect(await node.ended).toBe(0);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s stops it in order, exit 0", async (signal) => {
    const node = serve(oneNode);
    await node.says("LEADER");
    expect(node.out.split("\n", 1)[0]).toContain("Trivet");
    node.child.kill(signal);
    expect(await node.ended).toBe(0);
    expect(node.out).toContain("stopped");
    expect(node.err).toBe("");
  });

  test("a launcher that goes away takes its node with it", async () => {
    const node = serve(oneNode, true);
    await node.says("LEADER");
    node.child.disconnect();
    expect(await node.ended).toBe(0);
    expect(node.out).toContain("stopped");
  });
});
