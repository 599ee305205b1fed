/** Command frames that wait for the next entries of a leader's log, and the wish for an entry that only carries time. */
export class ProposalQueue {
  private frames: Uint8Array[] = [];
  private size = 0;
  private time = false;

  add(frame: Uint8Array): void {
    this.frames.push(frame);
    this.size += frame.length;
  }

  /** Not needed when others are on their way. */
  addTime(): void {
    this.time = true;
  }

  get isEmpty(): boolean {
    return this.frames.length === 0 && !this.time;
  }

  get bytes(): number {
    return this.size;
  }

  /** All of them, shared out to entries of about `maxEntryBytes`; a larger frame has one to itself. */
  take(maxEntryBytes: number): readonly (readonly Uint8Array[])[] {
    const entries: Uint8Array[][] = [];
    let entry: Uint8Array[] = [];
    let bytes = 0;
    for (const frame of this.frames) {
      if (bytes > 0 && bytes + frame.length > maxEntryBytes) {
        entries.push(entry);
        entry = [];
        bytes = 0;
      }
      entry.push(frame);
      bytes += frame.length;
    }
    if (entry.length > 0 || (this.time && entries.length === 0)) entries.push(entry);
    this.clear();
    return entries;
  }

  clear(): void {
    this.frames = [];
    this.size = 0;
    this.time = false;
  }
}
