import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { planNodes } from "../src/dev/plan.ts";
import { createSupervisor, type Supervisor } from "../src/dev/supervisor.ts";

describe("the supervisor of trivet dev", () => {
  let folder: string;
  let supervisor: Supervisor | null;
  const events: string[] = [];
  const waiting = new Map<string, () => void>();
  const note = (event: string): void => {
    events.push(event);
    for (const [start, resume] of waiting) if (event.startsWith(start)) resume();
  };
  const seen = (start: string, count = 1): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (events.filter((event) => event.startsWith(start)).length < count) return;
        waiting.delete(start);
        resolve();
      };
      waiting.set(start, check);
      check();
    });
  const nodes = planNodes({ nodes: 1, firstPort: 8001, dataDir: "data" });
  const [node] = nodes;
  if (!node) throw new Error("no node");

  const supervise = (program: string): Supervisor => {
    const path = join(folder, "node.mjs");
    writeFileSync(path, program);
    supervisor = createSupervisor(
      nodes,
      () => ({ PATH: process.env["PATH"] ?? "", NODE_ID: "node1" }),
      {
        line: (_node, text) => note(`line ${text}`),
        started: () => note("started"),
        ended: (_node, how, restartMs) => note(`ended ${how}; ${restartMs === null ? "for good" : `again in ${restartMs}`}`),
      },
      path,
    );
    supervisor.start();
    return supervisor;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-supervisor-"));
    supervisor = null;
    events.length = 0;
    waiting.clear();
  });
  afterEach(() => {
    supervisor?.kill();
    rmSync(folder, { recursive: true });
  });

  it("starts a killed node again, later each time it ends soon", async () => {
    const running = supervise(
      'console.log("up"); process.on("message", () => process.exit(0)); process.on("disconnect", () => process.exit(0));',
    );
    await seen("line up");
    process.kill(running.pid(node) ?? 0, "SIGKILL");
    await seen("line up", 2);
    process.kill(running.pid(node) ?? 0, "SIGKILL");
    await seen("line up", 3);
    expect(events.filter((event) => event.startsWith("ended"))).toEqual([
      "ended by SIGKILL; again in 500",
      "ended by SIGKILL; again in 1000",
    ]);
    await running.stop(node);
    expect(running.pid(node)).toBeNull();
    expect(events.filter((event) => event.startsWith("ended"))).toHaveLength(2);
  });

  it("stops a node by word, not by signal, so that it can drain", async () => {
    const program =
      'process.on("SIGTERM", () => console.log("signal")); process.on("message", (m) => { console.log(m.type); process.exit(0); }); console.log("up");';
    const running = supervise(program);
    await seen("line up");
    await running.stop(node);
    expect(events).toEqual(["started", "line up", "line stop"]);
  });

  it("does not start a node again that would end the same way", async () => {
    supervise("process.exit(78);");
    await seen("ended");
    expect(events).toEqual(["started", "ended with exit code 78; for good"]);
  });

  it("passes on the last line of a node even without a line end", async () => {
    supervise('process.stderr.write("first\\nlast words"); process.exitCode = 78;');
    await seen("line last");
    expect(events).toContain("line first");
    expect(events).toContain("line last words");
  });
});
