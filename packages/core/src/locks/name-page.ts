import { compareNames, isPlain } from "../system/names.ts";
import type { Lock } from "./lock.ts";

/** The `size` first names of those offered, as a heap whose root is the last of them: for names that are in no order. */
export class NamePage {
  private readonly size: number;
  private readonly heap: Lock[] = [];
  /** The root, which most names are compared with and fail. */
  private last = "";
  private lastIsPlain = true;

  constructor(size: number) {
    this.size = size;
  }

  offer(lock: Lock): void {
    const { heap } = this;
    if (heap.length < this.size) {
      heap.push(lock);
      this.rise(heap.length - 1);
    } else if (this.lastIsPlain ? lock.name < this.last : compareNames(lock.name, this.last) < 0) {
      heap[0] = lock;
      this.sink();
    } else return;
    this.last = (heap[0] as Lock).name;
    this.lastIsPlain = isPlain(this.last);
  }

  sorted(): Lock[] {
    return [...this.heap].sort((a, b) => compareNames(a.name, b.name));
  }

  private rise(start: number): void {
    let place = start;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.swapIfLater(place, parent)) return;
      place = parent;
    }
  }

  private sink(): void {
    const { heap } = this;
    let place = 0;
    for (;;) {
      const left = place * 2 + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const later = right < heap.length && compareNames((heap[right] as Lock).name, (heap[left] as Lock).name) > 0 ? right : left;
      if (!this.swapIfLater(later, place)) return;
      place = later;
    }
  }

  /** Swaps when the name at `child` comes after the one at `parent`. */
  private swapIfLater(child: number, parent: number): boolean {
    const { heap } = this;
    const low = heap[child] as Lock;
    const high = heap[parent] as Lock;
    if (compareNames(low.name, high.name) <= 0) return false;
    heap[child] = high;
    heap[parent] = low;
    return true;
  }
}
