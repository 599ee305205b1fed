/** One linearizable read of a lock, as its client saw it. */
export interface LockRead {
  readonly node: string;
  readonly name: string;
  readonly call: number;
  readonly ret: number;
  readonly lastFence: number;
  /** Fences of the holders it was shown. */
  readonly fences: readonly number[];
}

export class ReadHistory {
  readonly reads: LockRead[] = [];
  record(read: LockRead): void {
    this.reads.push(read);
  }
}
