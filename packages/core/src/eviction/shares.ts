import type { Bounds } from "./policy.ts";

/** The window's share of the room to begin with. */
const firstWindow = 0.01;
/** Share of the main room that is protected, to begin with. */
const firstProtected = 0.8;
/** Window and protected segment share so much between them; the rest is left to probation. */
const shared = firstWindow + firstProtected * (1 - firstWindow);

/** How W-TinyLFU's room is divided among its segments. Entries and bytes are divided alike, so each segment has two limits. */
export class Shares {
  windowEntries = 0;
  windowBytes = 0;
  mainEntries = 0;
  mainBytes = 0;
  protectedEntries = 0;
  protectedBytes = 0;
  private readonly bounds: Bounds;
  private window = firstWindow;

  constructor(bounds: Bounds) {
    this.bounds = bounds;
    this.moveWindow(0);
  }

  /** Adds `change`, a share of the room, to the window and takes it from the protected segment, as far as there is any. False when it could not move. */
  moveWindow(change: number): boolean {
    const { maxEntries, maxBytes } = this.bounds;
    const window = Math.min(shared, Math.max(0, this.window + change));
    const isProtected = shared - window;
    const moved = window !== this.window;
    this.window = window;
    // A window of no copy at all would take in nothing; a main room that is all protected would let nothing go.
    this.windowEntries = Math.min(maxEntries, Math.max(1, Math.floor(window * maxEntries)));
    this.mainEntries = maxEntries - this.windowEntries;
    this.protectedEntries = Math.max(0, Math.min(Math.floor(isProtected * maxEntries), this.mainEntries - 1));
    if (maxBytes === Infinity) {
      this.windowBytes = Infinity;
      this.mainBytes = Infinity;
      this.protectedBytes = Infinity;
    } else {
      this.windowBytes = window * maxBytes;
      this.mainBytes = maxBytes - this.windowBytes;
      this.protectedBytes = isProtected * maxBytes;
    }
    return moved;
  }
}
