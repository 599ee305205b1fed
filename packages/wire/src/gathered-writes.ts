/** A socket of Node, as far as it is needed here. */
export interface Corkable {
  cork(): void;
  uncork(): void;
}

/** From so many bytes on a system call more is nothing beside them. */
const enoughBytes = 64 * 1024;

/**
 * Holds what is written to a socket until the callback of the event loop that writes it is over. Frames of several shards then leave with one system call instead of
 * one each, which costs as much as the rest of a small frame; and they arrive together, so that the other end takes them in one turn.
 */
export class GatheredWrites {
  private readonly socket: Corkable;
  private readonly later: (run: () => void) => void;
  private bytes = 0;
  private isHeld = false;
  private isPlanned = false;

  /** `later`: runs it when the present callback is over (`process.nextTick`). */
  constructor(socket: Corkable, later: (run: () => void) => void) {
    this.socket = socket;
    this.later = later;
  }

  /** So many bytes are about to be written. */
  add(bytes: number): void {
    if (this.bytes >= enoughBytes) this.end();
    this.bytes += bytes;
    if (!this.isHeld) {
      this.isHeld = true;
      this.socket.cork();
    }
    if (this.isPlanned) return;
    this.isPlanned = true;
    this.later(this.over);
  }

  /** What was written until now leaves. */
  end(): void {
    this.bytes = 0;
    if (!this.isHeld) return;
    this.isHeld = false;
    this.socket.uncork();
  }

  private readonly over = (): void => {
    this.isPlanned = false;
    this.end();
  };
}
