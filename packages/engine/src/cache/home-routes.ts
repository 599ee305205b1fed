/** Callers whose answers a home waits for out of its replica's apply, and names of its own frames. */
export class HomeRoutes {
  private readonly waiting = new Map<string, number>();
  /** Since the last `take`. */
  private readonly began = new Set<string>();
  private readonly ended = new Set<string>();

  add(caller: string): void {
    this.waiting.set(caller, (this.waiting.get(caller) ?? 0) + 1);
    this.ended.delete(caller);
    this.began.add(caller);
  }

  remove(caller: string): void {
    const left = (this.waiting.get(caller) ?? 0) - 1;
    if (left > 0) {
      this.waiting.set(caller, left);
      return;
    }
    if (this.waiting.delete(caller)) this.ended.add(caller);
    this.began.delete(caller);
  }

  has(caller: string): boolean {
    return this.waiting.has(caller);
  }

  clear(): void {
    for (const caller of this.waiting.keys()) this.ended.add(caller);
    this.waiting.clear();
    this.began.clear();
  }

  take(): { readonly routed: readonly string[]; readonly unrouted: readonly string[] } {
    const told = { routed: [...this.began], unrouted: [...this.ended] };
    this.began.clear();
    this.ended.clear();
    return told;
  }
}
