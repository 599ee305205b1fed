import type { Clock } from "../ports/clock.ts";
import type { FileStore } from "../ports/file.ts";
import type { Telemetry } from "../ports/telemetry.ts";

const pollMs = 50;
/** Never ask for more headroom than this, whatever the segment size. */
const largestReserveBytes = 128 * 1024 * 1024;

/**
 * Watches free space, so that writes are refused (507) while the log can still be closed, trimmed and restarted, instead of running into
 * ENOSPC, after which a node must stop. Below the reserve callers are refused; below a quarter of it a leader's own housekeeping too.
 */
export class DiskGuard {
  private readonly files: FileStore;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly reserveBytes: number;
  private free = Number.POSITIVE_INFINITY;
  private asking = false;
  private nextAt = 0;

  constructor(files: FileStore, clock: Clock, telemetry: Telemetry, segmentBytes: number) {
    this.files = files;
    this.clock = clock;
    this.telemetry = telemetry;
    this.reserveBytes = Math.min(4 * segmentBytes, largestReserveBytes);
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
    if (this.asking || now < this.nextAt) return;
    this.asking = true;
    this.nextAt = now + pollMs;
    this.files.freeBytes((error, bytes) => {
      this.asking = false;
      // Not knowing is not being full: the log itself reports a real failure.
      if (error !== null || bytes === undefined) return;
      const before = this.low;
      this.free = bytes;
      if (this.low === before) return;
      if (this.low)
        this.telemetry.log("error", "storage.low", `writes are refused: ${this.detail}`, { free: bytes, reserve: this.reserveBytes });
      else this.telemetry.log("info", "storage.room", "the disk has room again: writes are taken", { free: bytes });
    });
  }
}
