/** What a `DeadlineHeap` keeps of its own in each of its items. */
export interface Timed {
  dueAt: number;
  /** Where it is in the heap; below 0 = it is in none. */
  place: number;
}

/**
 * Timers by what comes due first: a binary heap that knows the place of each item, so that one whose matter is settled leaves at once. Most are settled
 * long before they are due, by the thousands a second; left in until then they would be the larger part of the memory.
 */
export class DeadlineHeap<T extends Timed> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  /** When the next is due; null = there is none. */
  get nextAt(): number | null {
    return this.items[0]?.dueAt ?? null;
  }

  /** `item` must not be in it. */
  push(item: T, dueAt: number): void {
    item.dueAt = dueAt;
    this.items.push(item);
    this.rise(item, this.items.length - 1);
  }

  /** One that is not in it is none of its business. */
  remove(item: T): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.items.pop();
    if (last === undefined || last === item) return;
    if (last.dueAt < item.dueAt) this.rise(last, place);
    else this.sink(last, place);
  }

  /** Takes the next one out if it is due; null = none is. */
  takeDue(now: number): T | null {
    const next = this.items[0];
    if (next === undefined || next.dueAt > now) return null;
    this.remove(next);
    return next;
  }

  private rise(item: T, from: number): void {
    const { items } = this;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = items[parent];
      if (above === undefined || above.dueAt <= item.dueAt) break;
      items[place] = above;
      above.place = place;
      place = parent;
    }
    items[place] = item;
    item.place = place;
  }

  private sink(item: T, from: number): void {
    const { items } = this;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      let smaller = items[child];
      if (smaller === undefined) break;
      const right = items[child + 1];
      if (right !== undefined && right.dueAt < smaller.dueAt) {
        child += 1;
        smaller = right;
      }
      if (smaller.dueAt >= item.dueAt) break;
      items[place] = smaller;
      smaller.place = place;
      place = child;
    }
    items[place] = item;
    item.place = place;
  }
}
