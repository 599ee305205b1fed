import { invariant } from "../kernel/assert.ts";
import { evictionLimits } from "./limits.ts";
import type { Bounds, EvictionPolicy } from "./policy.ts";
import type { Queue } from "./queue.ts";
import { Resident } from "./resident.ts";

/** What all policies have in common: the counting, and how victims are offered. */
export abstract class BoundedPolicy<Line> implements EvictionPolicy<Line> {
  readonly bounds: Bounds;
  entries = 0;
  bytes = 0;
  /**
   * The copy for which room is being made. The papers evict before they insert, so there a copy never competes for the room it needs
   * itself; here a victim is chosen after the admission, and whoever chooses passes over this one.
   */
  protected newcomer: Resident<Line> | null = null;
  /** Refused in the choice that is under way. */
  private readonly aside: Resident<Line>[] = [];

  constructor(bounds: Bounds) {
    const { maxEntries, maxBytes } = bounds;
    invariant(
      Number.isInteger(maxEntries) && maxEntries >= 0 && maxEntries <= evictionLimits.entries,
      "eviction-bounds",
      `${maxEntries} entries`,
    );
    invariant(maxBytes >= 0, "eviction-bounds", `${maxBytes} bytes`);
    this.bounds = { maxEntries, maxBytes };
  }

  get isOver(): boolean {
    return this.entries > this.bounds.maxEntries || this.bytes > this.bounds.maxBytes;
  }

  admit(line: Line, hash: number, bytes: number): Resident<Line> | null {
    checkWeight(bytes);
    if (bytes > this.bounds.maxBytes || this.bounds.maxEntries === 0) return null;
    const resident = new Resident(line, hash, bytes);
    this.entries++;
    this.bytes += bytes;
    this.newcomer = resident;
    this.insert(resident);
    if (!this.isOver) this.newcomer = null;
    return resident;
  }

  abstract recordHit(resident: Resident<Line>): void;

  resize(resident: Resident<Line>, bytes: number): boolean {
    checkWeight(bytes);
    const queue = queueOf(resident);
    if (bytes > this.bounds.maxBytes) return false;
    const change = bytes - resident.bytes;
    resident.bytes = bytes;
    queue.bytes += change;
    this.bytes += change;
    return true;
  }

  chooseVictim(mayEvict: (line: Line) => boolean): Resident<Line> | null {
    try {
      for (let offers = 0; offers < evictionLimits.offersPerChoice; offers++) {
        const victim = this.nextVictim();
        if (victim === null || mayEvict(victim.line)) return victim;
        // Out of the way, so that the next choice falls on another, and out of the next choices' way for a while.
        this.detach(victim);
        this.aside.push(victim);
      }
      return null;
    } finally {
      for (let refused = this.aside.pop(); refused !== undefined; refused = this.aside.pop()) this.attach(refused);
    }
  }

  remove(resident: Resident<Line>, why: "evicted" | "dropped"): void {
    queueOf(resident);
    this.entries--;
    this.bytes -= resident.bytes;
    if (resident === this.newcomer) this.newcomer = null;
    this.detach(resident);
    if (why === "evicted") this.remember(resident);
    resident.queue = null;
    if (!this.isOver) this.newcomer = null;
  }

  /** Puts a new copy into its queue. */
  protected abstract insert(resident: Resident<Line>): void;
  /** The next to go of those in the queues; null when these are empty. */
  protected abstract nextVictim(): Resident<Line> | null;
  /** Unlinks from its queue, which `resident.queue` goes on to name. */
  protected abstract detach(resident: Resident<Line>): void;

  /** Back into the queue it was detached from, as its youngest. */
  protected attach(resident: Resident<Line>): void {
    queueOf(resident).add(resident);
  }

  /** What is kept about a copy evicted for want of room. `resident.queue` is where it was. */
  protected remember(_resident: Resident<Line>): void {}

  /** Copies there is room for. Where bytes are what is scarce, as many as there would be of those here now. */
  protected capacity(): number {
    const { maxEntries, maxBytes } = this.bounds;
    if (this.entries >= maxEntries || maxBytes === Infinity || this.bytes === 0) return maxEntries;
    return Math.max(1, Math.min(maxEntries, Math.ceil((this.entries * maxBytes) / this.bytes)));
  }
}

/** The queue a copy is in; a copy that was removed has none, and to name it again is a bug. */
export function queueOf<Line>(resident: Resident<Line>): Queue<Line> {
  const { queue } = resident;
  if (queue === null) invariant(false, "eviction-resident", "a removed copy was named");
  return queue;
}

function checkWeight(bytes: number): void {
  invariant(bytes >= 0 && Number.isFinite(bytes), "eviction-weight", () => `${bytes} bytes`);
}
