import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Counted, playRounds, type RoundsSettings, SharedNumbers } from "./cache-rounds.ts";
import { repository, start, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

const script = fileURLToPath(new URL("cache-worker.ts", import.meta.url));
const keys = 8;

export type Reach = Pick<RoundsSettings, "urls" | "routing">;
/** The test's own process, and the one beside it. */
export const [here, there] = [0, 1];

/** Two programs with near caches that write and read the same keys; whatever either reads is judged by what was acknowledged before. */
export class CachePair {
  /** The other process, which a test may stop. */
  readonly worker: Started;
  private readonly shared: SharedNumbers;
  private readonly stop = new AbortController();
  private readonly own: Promise<readonly string[]>;
  private isEnded = false;

  constructor(folder: string, own: Reach, other: Reach) {
    const file = join(folder, "rounds");
    writeFileSync(file, "");
    this.shared = new SharedNumbers(file, keys);
    this.own = playRounds({ ...own, file, process: here, keys, writes: [0, 1, 2, 3] }, this.stop.signal);
    const theirs: RoundsSettings = { ...other, file, process: there, keys, writes: [4, 5, 6] };
    const args = ["--conditions=source", "--import", "tsx", script, JSON.stringify(theirs)];
    this.worker = start(process.execPath, args, { cwd: repository });
  }

  /** Waits until a process has done so much more of something. */
  async more(process: number, what: Exclude<keyof Counted, "stale">, count: number): Promise<void> {
    const before = this.shared.counted(process)[what];
    await waitFor(
      `process ${process}: ${count} more ${what}`,
      () => {
        if (this.worker.hasExited()) throw new Error(`the other process ended: ${this.worker.output()}`);
        const { [what]: now } = this.shared.counted(process);
        return now - before >= count ? ready(true) : `${now - before} so far`;
      },
      { deadlineMs: 90_000 },
    );
  }

  async bothHit(hits: number): Promise<void> {
    await this.more(here, "hits", hits);
    await this.more(there, "hits", hits);
  }

  /** Ends both; what they found wrong, and how many reads of each were stale. */
  async finish(): Promise<{ readonly problems: readonly string[]; readonly stale: readonly number[] }> {
    this.stop.abort();
    const own = await this.own;
    this.worker.signal("SIGTERM");
    await this.worker.exited;
    const others = this.worker.output();
    const stale = [here, there].map((process) => this.shared.counted(process).stale);
    return { problems: others === "" ? own : [...own, others], stale };
  }

  async end(): Promise<void> {
    if (this.isEnded) return;
    this.isEnded = true;
    this.stop.abort();
    this.worker.signal("SIGKILL");
    await this.worker.exited;
    this.shared.close();
  }
}
