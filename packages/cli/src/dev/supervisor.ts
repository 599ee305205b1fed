import { exitCodes } from "@trivet/contract";
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { engineFlags } from "../engine-flags.ts";
import type { PlannedNode } from "./plan.ts";

/** Back-off between restarts of one node. A node that ran for a while starts again from the first step. */
const firstRestartMs = 500;
const longestRestartMs = 10_000;
const goodRunMs = 30_000;
/** A node that does not stop by itself within this time is killed. */
const stopDeadlineMs = 15_000;

/** Exit codes after which another start would end the same way. */
const hopeless: readonly number[] = [exitCodes.configuration, exitCodes.usage];

/** What runs in the process of a node. */
const nodeProgram = fileURLToPath(new URL(`./node-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));

export interface SupervisorEvents {
  /** One line of a node's output. */
  line(node: PlannedNode, text: string): void;
  /** A node ended although nobody stopped it. `restartMs` null = it will not be started again. */
  ended(node: PlannedNode, how: string, restartMs: number | null): void;
  started(node: PlannedNode, pid: number): void;
}

export interface Supervisor {
  start(): void;
  pid(node: PlannedNode): number | null;
  /** Asks one node to drain and stop; kills it after the deadline. */
  stop(node: PlannedNode): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
}

interface Slot {
  readonly node: PlannedNode;
  child: ChildProcess | null;
  restarts: number;
  timer: NodeJS.Timeout | null;
  stopping: boolean;
}

/**
 * Runs one process per node and restarts those that die.
 *
 * The processes stay in the launcher's process group, so that whatever ends the group ends them too. Ctrl-C therefore reaches them as
 * well: a node under a launcher ignores it as long as the launcher lives (node-process.ts) and stops when told so over the IPC channel.
 * A launcher that is killed closes that channel, and its nodes stop by themselves: no orphan keeps a port.
 */
export function createSupervisor(
  nodes: readonly PlannedNode[],
  environmentOf: (node: PlannedNode) => Record<string, string>,
  events: SupervisorEvents,
  program: string = nodeProgram,
): Supervisor {
  const slots: readonly Slot[] = nodes.map((node) => ({ node, child: null, restarts: 0, timer: null, stopping: false }));
  const slotOf = (node: PlannedNode): Slot | undefined => slots.find((slot) => slot.node === node);

  const launch = (slot: Slot): void => {
    slot.timer = null;
    const begun = performance.now();
    const child = fork(program, [], {
      env: environmentOf(slot.node),
      // After those of this process: where it was started with them already, saying so twice does no harm.
      execArgv: [...process.execArgv, ...engineFlags],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      detached: false,
    });
    slot.child = child;
    for (const stream of [child.stdout, child.stderr]) if (stream) forEachLine(stream, (text) => events.line(slot.node, text));
    child.once("spawn", () => events.started(slot.node, child.pid ?? 0));
    // A failed fork emits only `error`, a process that ran only `exit`.
    child.once("error", (error) => over(slot, child, error.message, null, begun));
    child.once("exit", (code, signal) => over(slot, child, signal ? `by ${signal}` : `with exit code ${code ?? "unknown"}`, code, begun));
  };

  const over = (slot: Slot, child: ChildProcess, how: string, code: number | null, begun: number): void => {
    if (slot.child !== child) return;
    slot.child = null;
    if (slot.stopping) return;
    if (code !== null && hopeless.includes(code)) {
      events.ended(slot.node, how, null);
      return;
    }
    if (performance.now() - begun > goodRunMs) slot.restarts = 0;
    const restartMs = Math.min(longestRestartMs, firstRestartMs * 2 ** slot.restarts);
    slot.restarts += 1;
    slot.timer = setTimeout(() => launch(slot), restartMs);
    events.ended(slot.node, how, restartMs);
  };

  return {
    start: () => slots.forEach(launch),
    pid: (node) => slotOf(node)?.child?.pid ?? null,
    stop: async (node) => {
      const slot = slotOf(node);
      if (!slot) return;
      slot.stopping = true;
      if (slot.timer) clearTimeout(slot.timer);
      const { child } = slot;
      if (!child) return;
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(() => child.kill("SIGKILL"), stopDeadlineMs);
        child.once("exit", () => {
          clearTimeout(deadline);
          resolve();
        });
        // The callback keeps a node that died this moment from becoming an unhandled error; its `exit` follows.
        if (child.connected) child.send({ type: "stop" }, () => undefined);
        else child.kill("SIGTERM");
      });
    },
    kill: () => {
      for (const slot of slots) {
        slot.stopping = true;
        if (slot.timer) clearTimeout(slot.timer);
        slot.child?.kill("SIGKILL");
      }
    },
  };
}

function forEachLine(stream: NodeJS.ReadableStream, take: (text: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  });
  stream.on("end", () => {
    if (rest !== "") take(rest);
  });
}
