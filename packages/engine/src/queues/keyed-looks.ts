import { partitionOf } from "@trivet/wire";

/** Each look is an entry of the log, and is remembered for ten minutes: so many, and as many for each partition, are enough for one call. */
const looksOfACall = 16;
const looksAtAPartition = 4;

/**
 * The looks of one consume with an idempotency key. Each is a command of its own, and a repeat of the call must make the same ones in the same order, or it
 * would take messages beside those of its first send: so they go through the partitions in a fixed turn that the key decides, whatever is known of them, and
 * each has its number in its label (rule X2). What a repeat is told again is passed over until it comes to where the first send stood.
 */
export class KeyedLooks {
  private readonly partitions: readonly number[];
  private readonly first: number;
  private count = 0;
  private fresh = false;

  constructor(key: string, partitions: readonly number[]) {
    this.partitions = partitions;
    this.first = partitionOf(key, partitions.length);
  }

  get partition(): number {
    return this.partitions[(this.first + this.count) % this.partitions.length] as number;
  }

  get label(): string {
    return `look${this.count}`;
  }

  get isWorn(): boolean {
    return this.count >= Math.max(looksOfACall, looksAtAPartition * this.partitions.length);
  }

  /** Nothing has been answered that was not known of an earlier send: it has to look, whatever others were told meanwhile. */
  get isReplaying(): boolean {
    return !this.fresh;
  }

  /** The look was answered and had nothing. */
  passed(isFresh: boolean): void {
    this.count++;
    if (isFresh) this.fresh = true;
  }
}
