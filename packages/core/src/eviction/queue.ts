import type { Resident } from "./resident.ts";

/** Residents in an order, linked through themselves: every change is O(1) and allocates nothing. */
export class Queue<Line> {
  youngest: Resident<Line> | null = null;
  oldest: Resident<Line> | null = null;
  count = 0;
  bytes = 0;

  /** `resident` is in no queue. */
  add(resident: Resident<Line>): void {
    const { youngest } = this;
    resident.queue = this;
    resident.older = youngest;
    resident.younger = null;
    if (youngest === null) this.oldest = resident;
    else youngest.younger = resident;
    this.youngest = resident;
    this.count++;
    this.bytes += resident.bytes;
  }

  /** `resident` is in this queue, and keeps saying so: who takes it out decides where it goes. */
  unlink(resident: Resident<Line>): void {
    const { younger, older } = resident;
    if (younger === null) this.youngest = older;
    else younger.older = older;
    if (older === null) this.oldest = younger;
    else older.younger = younger;
    resident.younger = null;
    resident.older = null;
    this.count--;
    this.bytes -= resident.bytes;
  }

  /** Makes `resident`, which is in this queue, the youngest. */
  refresh(resident: Resident<Line>): void {
    const { younger, older } = resident;
    if (younger === null) return;
    younger.older = older;
    if (older === null) this.oldest = younger;
    else older.younger = younger;
    const youngest = this.youngest as Resident<Line>;
    youngest.younger = resident;
    resident.older = youngest;
    resident.younger = null;
    this.youngest = resident;
  }

  /** Makes `resident`, which is in another queue, the youngest of this one. */
  take(resident: Resident<Line>): void {
    resident.queue?.unlink(resident);
    this.add(resident);
  }
}
