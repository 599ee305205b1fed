/** A partition has its turn for so many bytes, or so long. */
const turnBytes = 64 * 1024;
const turnMs = 50;

/**
 * Where messages without key and dedupe id go: to one partition for a while, then to the next. What is produced in neighbouring turns so shares entries of
 * one log, one hand-out and one acknowledgement, where a partition a turn would make small ones of all of them (the sticky partitioner of Kafka, KIP-480).
 */
export class Rotation {
  private turn = Math.floor(Math.random() * 1024);
  private bytes = 0;
  private beganAt = 0;

  /** For a whole turn of the event loop, so that it stays one command. `now`: monotonic ms. */
  partition(partitions: number, now: number): number {
    if (this.bytes >= turnBytes || now - this.beganAt >= turnMs) {
      this.turn++;
      this.bytes = 0;
      this.beganAt = now;
    }
    return this.turn % partitions;
  }

  sent(bytes: number): void {
    this.bytes += bytes;
  }
}
