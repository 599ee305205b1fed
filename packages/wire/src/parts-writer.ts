import { ByteWriter } from "./bytes.ts";

/** A writer that does not copy large data: it is handed out as it was given, between the pieces that were written around it. */
export class PartsWriter extends ByteWriter {
  private readonly referFrom: number;
  private readonly referred: { readonly at: number; readonly data: Uint8Array }[] = [];
  private referredBytes = 0;

  /** `referFrom`: data of so many bytes and more is not copied. */
  constructor(initialBytes: number, referFrom: number) {
    super(initialBytes);
    this.referFrom = referFrom;
  }

  /** Of all parts together. */
  get size(): number {
    return this.length + this.referredBytes;
  }

  override raw(data: Uint8Array): void {
    if (data.length < this.referFrom) return super.raw(data);
    this.referred.push({ at: this.length, data });
    this.referredBytes += data.length;
  }

  /** What was written, to be sent one after the other. None of it may change from then on: the writer has done its work. */
  parts(): readonly Uint8Array[] {
    const copied = this.view();
    const parts: Uint8Array[] = [];
    let from = 0;
    for (const { at, data } of this.referred) {
      if (at > from) parts.push(copied.subarray(from, at));
      parts.push(data);
      from = at;
    }
    if (copied.length > from) parts.push(copied.subarray(from));
    return parts;
  }
}
