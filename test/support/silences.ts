/** How long nothing of a kind of work was acknowledged, counted from the first of that kind. */
export class Silences<Kind extends string> {
  private readonly now: () => number;
  private readonly heardAt = new Map<Kind, number>();
  private readonly longest = new Map<Kind, number>();

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  heard(kind: Kind): void {
    const at = this.now();
    this.longest.set(kind, this.longestOf(kind, at));
    this.heardAt.set(kind, at);
  }

  /** The longest of each kind in whole milliseconds, that which lasts included. */
  longestMs(): Readonly<Partial<Record<Kind, number>>> {
    const at = this.now();
    const each = [...this.heardAt.keys()].map((kind) => [kind, Math.round(this.longestOf(kind, at))] as const);
    return Object.fromEntries(each) as Partial<Record<Kind, number>>;
  }

  private longestOf(kind: Kind, at: number): number {
    return Math.max(this.longest.get(kind) ?? 0, at - (this.heardAt.get(kind) ?? at));
  }
}
