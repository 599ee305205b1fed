import type { LogIndex } from "../kernel/brand.ts";
import { mutant } from "#mutation";

/**
 * The append messages on their way to one peer, bounded in messages and in bytes. Bytes are kept per message, so that exactly what
 * was added is given back whatever the acknowledgements look like (mutant 39).
 */
export class Inflight {
  private readonly maxMessages: number;
  private readonly maxBytes: number;
  private readonly lastIndexes: number[];
  private readonly sizes: number[];
  private head = 0;
  private used = 0;
  private heldBytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
    this.lastIndexes = [];
    this.sizes = [];
  }

  get messages(): number {
    return this.used;
  }

  get bytes(): number {
    return this.heldBytes;
  }

  get full(): boolean {
    return this.used >= this.maxMessages || this.heldBytes >= this.maxBytes;
  }

  add(lastIndex: LogIndex, bytes: number): void {
    const at = (this.head + this.used) % this.maxMessages;
    this.lastIndexes[at] = lastIndex;
    this.sizes[at] = bytes;
    this.used++;
    this.heldBytes += bytes;
  }

  /** Everything up to `index` has arrived. */
  freeTo(index: LogIndex): void {
    while (this.used > 0 && (this.lastIndexes[this.head] ?? 0) <= index) {
      if (!mutant("raft-39-inflight-bytes-leak")) this.heldBytes -= this.sizes[this.head] ?? 0;
      this.head = (this.head + 1) % this.maxMessages;
      this.used--;
    }
  }

  clear(): void {
    this.head = 0;
    this.used = 0;
    if (!mutant("raft-39-inflight-bytes-leak")) this.heldBytes = 0;
  }
}
