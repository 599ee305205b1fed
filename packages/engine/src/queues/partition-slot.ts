/** Consumes of one partition that are under way at once, at most. Each is an entry of the log. */
const mostUnderWay = 64;

/**
 * What one line of consumes knows of one partition, and how many of them may be under way there. Questions and news are put in order by moments, which the line
 * counts: an answer tells how things stood when it was asked for or later, never earlier.
 *
 * Consumes that wait for each other would hand out one batch a commit; consumes that all go at once would each be an entry in vain where one message comes. So
 * the window grows by one with each answer that had messages and is halved by each that had none, as TCP does with its congestion window (RFC 5681 §3.1).
 */
export class PartitionSlot {
  readonly partition: number;
  /** The latest moment at which it may have had something (decision 0008 §4). */
  private mayHaveAsOf = 0;
  /** The latest moment at which it was asked, and what was there was handed out. */
  private emptyAsOf = -1;
  private underWay = 0;
  private window = 1;

  constructor(partition: number) {
    this.partition = partition;
  }

  get mayHave(): boolean {
    return this.mayHaveAsOf > this.emptyAsOf;
  }

  get isIdle(): boolean {
    return this.underWay === 0;
  }

  /** One more consume may go there. Where nothing is known to be, one looks for all. */
  get hasRoom(): boolean {
    return this.underWay < (this.mayHave ? this.window : 1);
  }

  /** Nobody who asked at `moment` or later has been told that there is nothing. */
  isNewsFor(moment: number): boolean {
    return this.emptyAsOf < moment;
  }

  hinted(moment: number): void {
    this.mayHaveAsOf = moment;
  }

  asked(): void {
    this.underWay++;
  }

  answered(): void {
    this.underWay--;
  }

  /** `moment`: when it was asked for, or null where the answer may be an old one that is told again. */
  handedOut(count: number, more: boolean, moment: number | null): void {
    this.window = count > 0 ? Math.min(mostUnderWay, this.window + 1) : Math.max(1, this.window >> 1);
    if (moment === null) return;
    if (more) this.mayHaveAsOf = Math.max(this.mayHaveAsOf, moment);
    else this.emptyAsOf = Math.max(this.emptyAsOf, moment);
  }

  /** It could not be asked: begin anew with one. */
  failed(): void {
    this.window = 1;
  }
}
