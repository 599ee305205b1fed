/** What a run of seeds must have exercised at least once; a total of zero means the simulator tests less than it claims. */
export const requiredTotals = [
  "operations",
  "elections",
  "leader changes",
  "crashes",
  "restarts",
  "pauses",
  "torn writes",
  "lost unsynced writes",
  "partitions",
  "snapshots taken",
  "snapshots installed",
  "membership changes",
  "leadership transfers",
  "expiries",
  "deadlocks",
  "retries",
  "duplicates answered",
  "queue operations",
  "queue retries",
  "messages drained",
  "placement moves",
  "shard elections",
  "shard leader changes",
  "shard membership changes",
  "stores crashed",
  "stores damaged",
  "stores full",
  "fence floors raised",
  "fenced produces: fence-behind",
  "workers as in production",
] as const;

/** Counters of one run or of many. */
export class Totals {
  private readonly counts = new Map<string, number>();

  add(name: string, by: number = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }
  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }
  merge(other: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(other)) this.add(name, count);
  }
  toRecord(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  missing(): readonly string[] {
    return requiredTotals.filter((name) => this.get(name) === 0);
  }
}
