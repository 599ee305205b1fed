import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { repository, start, type Started } from "./processes.ts";
import type { QueueRecord } from "./queue-history.ts";
import { ready, waitFor } from "./wait.ts";

const script = fileURLToPath(new URL("queue-worker.ts", import.meta.url));

/** What a worker process is told. */
export interface WorkerSettings {
  readonly name: string;
  readonly urls: readonly string[];
  readonly queue: string;
  readonly max: number;
  readonly visibilityMs: number;
  /** Takes its records, a line each. */
  readonly file: string;
}

/** A consumer in a process of its own. */
export interface QueueWorker {
  records(): readonly QueueRecord[];
  /** Waits until it has settled so many messages. */
  settled(messages: number, deadlineMs?: number): Promise<void>;
  /** kill -9, at a moment when it has messages that it has not settled. Gives how many. */
  killAtWork(): Promise<number>;
  /** Lets it finish what it has. Gives what it found unexpected. */
  finish(): Promise<readonly string[]>;
  kill(): Promise<void>;
}

export function startWorker(folder: string, settings: Omit<WorkerSettings, "file">): QueueWorker {
  const file = join(folder, `${settings.name}.history`);
  const args = ["--conditions=source", "--import", "tsx", script, JSON.stringify({ ...settings, file } satisfies WorkerSettings)];
  const worker: Started = start(process.execPath, args, { cwd: repository });
  const records = (): readonly QueueRecord[] => {
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as QueueRecord);
  };
  const mustRun = (): void => {
    if (worker.hasExited()) throw new Error(`${settings.name} ended: ${worker.output()}`);
  };
  return {
    records,
    settled: async (messages, deadlineMs = 60_000) => {
      await waitFor(
        `${settings.name} to settle ${messages} messages`,
        () => {
          mustRun();
          const count = records().filter((record) => record.type === "acked" && record.outcome === "ok").length;
          return count >= messages ? ready(true) : `${count} so far`;
        },
        { deadlineMs },
      );
    },
    killAtWork: async () => {
      const held = await waitFor(
        `${settings.name} to have messages`,
        () => {
          mustRun();
          // Stopped, it is killed with what is seen now.
          worker.signal("SIGSTOP");
          const open = unsettled(records());
          if (open > 0) return ready(open);
          worker.signal("SIGCONT");
          return "it has none";
        },
        { everyMs: 5 },
      );
      worker.signal("SIGKILL");
      await worker.exited;
      return held;
    },
    finish: async () => {
      worker.signal("SIGTERM");
      const { code } = await worker.exited;
      const surprises = worker.output().trim();
      return [...(code === 0 ? [] : [`${settings.name} ended with ${code}`]), ...(surprises === "" ? [] : [surprises])];
    },
    kill: async () => {
      worker.signal("SIGKILL");
      await worker.exited;
    },
  };
}

function unsettled(records: readonly QueueRecord[]): number {
  const count = (type: QueueRecord["type"]): number => records.filter((record) => record.type === type).length;
  return count("delivered") - count("acked");
}
