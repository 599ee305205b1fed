interface Batch {
  readonly count: number;
  readonly run: (place: number) => Promise<void>;
  next: number;
}

/** Parts of batches, so many at a time over all batches of this node: one of each batch in turn, so that no batch holds up the others. */
export class FairWork {
  private readonly most: number;
  private readonly batches: Batch[] = [];
  private running = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** `run` comes later, for each place from 0 to `count`, and never rejects. */
  add(count: number, run: (place: number) => Promise<void>): void {
    if (count === 0) return;
    this.batches.push({ count, run, next: 0 });
    queueMicrotask(() => this.begin());
  }

  private begin(): void {
    while (this.running < this.most) {
      const batch = this.batches.shift();
      if (batch === undefined) return;
      const place = batch.next++;
      if (batch.next < batch.count) this.batches.push(batch);
      this.running++;
      void batch.run(place).finally(() => {
        this.running--;
        this.begin();
      });
    }
  }
}
