import type { RaftMessage } from "@trivet/core";

/** Messages that say what a write makes true: none leaves before its write is on disk (rule W2). */
export class DurableOutbox {
  private readonly send: (message: RaftMessage) => void;
  private readonly parked: { readonly write: number; readonly messages: readonly RaftMessage[] }[] = [];
  private durableTo = 0;

  constructor(send: (message: RaftMessage) => void) {
    this.send = send;
  }

  /** Sends them once `write` is durable; at once where it is. Writes are numbered upwards. */
  park(write: number, messages: readonly RaftMessage[]): void {
    if (write <= this.durableTo) for (const message of messages) this.send(message);
    else this.parked.push({ write, messages });
  }

  durable(write: number): void {
    this.durableTo = write;
    for (let first = this.parked[0]; first !== undefined && first.write <= write; first = this.parked[0]) {
      this.parked.shift();
      for (const message of first.messages) this.send(message);
    }
  }
}
