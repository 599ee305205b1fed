import type { CallerRoute, Unavailable } from "@trivet/engine";
import { limits as wireLimits, type ServerFrame, ShardResultsBuilder } from "@trivet/wire";

/** The connection that answers go out on. */
export interface ShardSink {
  send(frame: ServerFrame): void;
  sendBytes(bytes: Uint8Array): void;
}

/** Answers of one shard to one caller on one stream: copied, not decoded; everything of one flush is one message. */
export class StreamShardRoute implements CallerRoute<Uint8Array> {
  readonly group: number;
  readonly caller: string;
  readonly #connection: ShardSink;
  readonly #results = new ShardResultsBuilder();

  constructor(group: number, caller: string, connection: ShardSink) {
    this.group = group;
    this.caller = caller;
    this.#connection = connection;
    this.#results.begin(group, caller);
  }

  answer(sequence: number, bytes: Uint8Array): void {
    // A hand-out may be large: what is there goes first, so that a message exceeds the limit by one answer at most.
    if (this.#results.count > 0 && this.#results.byteLength + bytes.length > wireLimits.maxFrameBytes) this.flush();
    this.#results.add(sequence, bytes);
  }

  flush(): void {
    if (this.#results.count === 0) return;
    const message = this.#results.finish();
    this.#results.begin(this.group, this.caller);
    this.#connection.sendBytes(message);
  }

  refused(firstSequence: number, count: number, reason: Unavailable): void {
    const { code, retryAfterMs, detail } = reason;
    this.#connection.send({
      type: "shard-refused",
      group: this.group,
      caller: this.caller,
      firstSequence,
      count,
      code,
      retryAfterMs,
      detail,
    });
  }
}
