import type { Paint } from "../output/output.ts";
import { printable } from "../output/output.ts";
import type { PlannedNode } from "./plan.ts";

/** Lines of one node that are kept for the case that the start goes wrong. */
const keptLines = 40;
/** So many of them explain why a node ended. */
const lastLines = 3;

interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly message: string;
}

/** What of the nodes' output a person sees. Everything is in the log files; a terminal shows what matters now. */
export interface NodeLines {
  /** The text to print for one line of output, or null. */
  take(node: PlannedNode, text: string): string | null;
  /** The cluster works: from now on warnings are shown as well. */
  started(): void;
  /** The cluster is being stopped: peers that go away are no news. */
  stopping(): void;
  /** The last lines of a node that were not shown, for explaining what went wrong. */
  held(node: PlannedNode): readonly string[];
  /** The last few of them, marked as older than what is printed now: for a node that ended. */
  lastOf(node: PlannedNode): readonly string[];
}

export function createNodeLines(options: {
  readonly nodes: readonly PlannedNode[];
  readonly paint: Paint;
  readonly verbose: boolean;
}): NodeLines {
  const { nodes, paint, verbose } = options;
  const width = Math.max(...nodes.map((node) => node.id.length));
  const held = new Map(nodes.map((node) => [node, [] as string[]]));
  let running = false;

  const isShown = (line: LogLine): boolean => {
    if (verbose || line.level === "error") return true;
    // Who leads is worth a line at any time (L-01). Peers that are not up yet are no news while a cluster starts.
    if (line.event === "raft.role") return line.message.includes("LEADER");
    return running && line.level === "warn";
  };
  return {
    take: (node, text) => {
      const line = parse(text);
      const label = paint.cyan(node.id.padEnd(width));
      // No log line: what a process prints when it cannot go on.
      if (line === null) return `${label} │ ${text}`;
      const level = line.level === "error" ? `${paint.red("ERROR")} ` : line.level === "warn" ? `${paint.yellow("WARN")} ` : "";
      const shown = `${label} │ ${level}${printable(line.message)}`;
      if (isShown(line)) return shown;
      const lines = held.get(node) ?? [];
      lines.push(shown);
      if (lines.length > keptLines) lines.shift();
      return null;
    },
    started: () => {
      running = true;
      for (const lines of held.values()) lines.length = 0;
    },
    stopping: () => {
      running = false;
    },
    held: (node) => held.get(node)?.splice(0) ?? [],
    lastOf: (node) => {
      const lines = held.get(node)?.splice(0) ?? [];
      return lines.length === 0 ? [] : [paint.dim(`${node.id} last wrote (older lines are in its log):`), ...lines.slice(-lastLines)];
    },
  };
}

function parse(text: string): LogLine | null {
  if (!text.startsWith("{")) return null;
  try {
    const value = JSON.parse(text) as Readonly<Record<string, unknown>>;
    const { level, event, message } = value;
    if (typeof level !== "string" || typeof message !== "string") return null;
    return { level, event: typeof event === "string" ? event : "", message };
  } catch {
    return null;
  }
}
