import { describe, expect, it } from "vitest";
import { createNodeLines } from "../src/dev/lines.ts";
import { planNodes } from "../src/dev/plan.ts";

const nodes = planNodes({ nodes: 1, firstPort: 8001, dataDir: "data" });
const [node] = nodes;
if (!node) throw new Error("no node");
const same = (text: string | number | null | undefined): string => String(text);
const paint = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same };
const log = (level: string, event: string, message: string): string => JSON.stringify({ level, event, message, time: "x", node: "node1" });

describe("what trivet dev shows of its nodes", () => {
  it("while starting: who leads, and errors; the rest is held for the case that it goes wrong", () => {
    const lines = createNodeLines({ nodes, paint, verbose: false });
    expect(lines.take(node, log("info", "node.start", "starts"))).toBeNull();
    expect(lines.take(node, log("warn", "peer.unreachable", "node2 does not answer"))).toBeNull();
    expect(lines.take(node, log("info", "raft.role", "node1 is now LEADER"))).toBe("node1 │ node1 is now LEADER");
    expect(lines.take(node, log("error", "node.failed", "disk"))).toBe("node1 │ ERROR disk");
    expect(lines.held(node)).toEqual(["node1 │ starts", "node1 │ WARN node2 does not answer"]);
    expect(lines.held(node)).toEqual([]);
  });

  it("of a node that ended: its last few lines, marked as old", () => {
    const lines = createNodeLines({ nodes, paint, verbose: false });
    for (let n = 1; n <= 15; n += 1) lines.take(node, log("info", "x", `line ${n}`));
    expect(lines.lastOf(node)).toEqual([
      "node1 last wrote (older lines are in its log):",
      "node1 │ line 13",
      "node1 │ line 14",
      "node1 │ line 15",
    ]);
    expect(lines.lastOf(node)).toEqual([]);
  });

  it("while running: warnings too, but not once it is being stopped", () => {
    const lines = createNodeLines({ nodes, paint, verbose: false });
    lines.started();
    expect(lines.take(node, log("warn", "peer.unreachable", "node2 does not answer"))).toBe("node1 │ WARN node2 does not answer");
    expect(lines.take(node, log("info", "raft.role", "node1 follows"))).toBeNull();
    lines.stopping();
    expect(lines.take(node, log("warn", "peer.unreachable", "node2 does not answer"))).toBeNull();
  });

  it("everything when asked, and always what is no log line", () => {
    const lines = createNodeLines({ nodes, paint, verbose: true });
    expect(lines.take(node, log("debug", "x", "detail\u001b[2J"))).toBe("node1 │ detail\\x1b[2J");
    expect(lines.take(node, "error: port 8001 is in use")).toBe("node1 │ error: port 8001 is in use");
    expect(lines.take(node, "{ not json")).toBe("node1 │ { not json");
  });
});
