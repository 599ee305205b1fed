import type { Clock } from "../ports/clock.ts";
import type { FileStore } from "../ports/file.ts";
import type { Telemetry } from "../ports/telemetry.ts";

const pollMs = 50;
/** While the log takes nothing only others can fill the disk. Each look wakes a thread for it, and that one this. */
const restPollMs = 1_000;
/** Never ask for more headroom than this, whatever the segment size. */
const largestReserveBytes = 128 * 1024 * 1024;
/** What the log takes is written once more, into a store or a snapshot, on the same disk. */
const writtenTimes = 2;

/**
 * Watches free space, so that writes are refused (507) while the log can still be closed, trimmed and restarted, instead of running into
 * ENOSPC, after which a node must stop. Below the reserve callers are refused; below a quarter of it a leader's own housekeeping too.
 * The system is asked every few milliseconds while the log grows, and may be slow to answer when its disk is; what the log has taken since is counted
 * as gone.
 */
export class DiskGuard {
  private readonly files: FileStore;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly reserveBytes: number;
  /** Bytes that the log has taken so far; grows, and may begin anew. */
  private readonly taken: () => number;
  /** As the system said. */
  private known = Number.POSITIVE_INFINITY;
  /** What the log had taken when the system was asked that. */
  private takenThen = 0;
  private asking = false;
  private askedAt = Number.NEGATIVE_INFINITY;
  private toldLow = false;

  constructor(files: FileStore, clock: Clock, telemetry: Telemetry, segmentBytes: number, taken: () => number) {
    this.files = files;
    this.clock = clock;
    this.telemetry = telemetry;
    this.reserveBytes = Math.min(4 * segmentBytes, largestReserveBytes);
    this.taken = taken;
  }

  get low(): boolean {
    return this.free < this.reserveBytes;
  }

  get critical(): boolean {
    return this.free < this.reserveBytes / 4;
  }

  get detail(): string {
    return `the disk has ${Math.round(this.free / 1024)} KiB left, below the reserve of ${Math.round(this.reserveBytes / 1024)} KiB: free some space`;
  }

  tick(now: number): void {
    this.tell();
    if (this.asking || now < this.askedAt + (this.atRest ? restPollMs : pollMs)) return;
    this.asking = true;
    this.askedAt = now;
    // What is taken until the answer comes may be in it already: counted twice it errs on the safe side, until the next one.
    const taken = this.taken();
    this.files.freeBytes((error, bytes) => {
      this.asking = false;
      this.takenThen = taken;
      // Not knowing is not being full: the log itself reports a real failure.
      if (error === null && bytes !== undefined) this.known = bytes;
      this.tell();
    });
  }

  /** Nothing was taken since the system was asked last, and it has room. */
  private get atRest(): boolean {
    return this.taken() === this.takenThen && !this.low && Number.isFinite(this.known);
  }

  private get free(): number {
    return Math.max(0, this.known - writtenTimes * Math.max(0, this.taken() - this.takenThen));
  }

  private tell(): void {
    const { free, low } = this;
    if (low === this.toldLow) return;
    this.toldLow = low;
    if (low) this.telemetry.log("error", "storage.low", `writes are refused: ${this.detail}`, { free, reserve: this.reserveBytes });
    else this.telemetry.log("info", "storage.room", "the disk has room again: writes are taken", { free });
  }
}
