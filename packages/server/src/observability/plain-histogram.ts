interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName: string;
}

/** What the registry makes text of. */
interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "histogram";
  readonly values: readonly Sample[];
}

/**
 * A histogram without labels, as cheap as adding to an array: the library's looks up its labels at every observation, and several of these
 * are made per commit. It is registered like any other; bounds and text are the library's.
 */
export class PlainHistogram {
  readonly name: string;
  private readonly help: string;
  private readonly bounds: readonly number[];
  private readonly counts: Float64Array;
  private sum = 0;

  /** `bounds` ascending; a value equal to a bound counts below it, as Prometheus has it. */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket += 1;
    counts[bucket] = (counts[bucket] as number) + 1;
    this.sum += value;
  }

  reset(): void {
    this.counts.fill(0);
    this.sum = 0;
  }

  /** Called by the registry at a scrape. */
  get(): Promise<Family> {
    const values: Sample[] = [];
    let total = 0;
    for (const [bucket, count] of this.counts.entries()) {
      total += count;
      values.push({ labels: { le: this.bounds[bucket] ?? "+Inf" }, value: total, metricName: `${this.name}_bucket` });
    }
    values.push({ labels: {}, value: this.sum, metricName: `${this.name}_sum` });
    values.push({ labels: {}, value: total, metricName: `${this.name}_count` });
    return Promise.resolve({ name: this.name, help: this.help, type: "histogram", values });
  }
}
