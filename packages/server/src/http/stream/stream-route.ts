import type { CallerRoute, Unavailable } from "@trivet/engine";
import { limits as wireLimits, ResultsBuilder, type Result, type ServerFrame } from "@trivet/wire";

/** A frame of results is closed this far below the wire's limit: one result may still follow. */
const resultsRoom = 65_536;

/** The connection that answers go out on. */
export interface StreamSink {
  send(frame: ServerFrame): void;
  sendBytes(bytes: Uint8Array): void;
  answered(type: Result["type"]): void;
}

/** Answers of one caller on one stream: everything of one flush is one message (recipes §6: batching is everything). */
export class StreamRoute implements CallerRoute {
  readonly #caller: string;
  readonly #connection: StreamSink;
  readonly #results = new ResultsBuilder();

  constructor(caller: string, connection: StreamSink) {
    this.#caller = caller;
    this.#connection = connection;
    this.#results.begin(caller);
  }

  answer(sequence: number, result: Result): void {
    this.#results.add(sequence, result);
    this.#connection.answered(result.type);
    if (this.#results.byteLength > wireLimits.maxFrameBytes - resultsRoom) this.flush();
  }

  flush(): void {
    if (this.#results.count === 0) return;
    const message = this.#results.finish();
    this.#results.begin(this.#caller);
    this.#connection.sendBytes(message);
  }

  refused(firstSequence: number, count: number, reason: Unavailable): void {
    this.#connection.send({
      type: "refused",
      caller: this.#caller,
      firstSequence,
      count,
      // Group 0 needs no Redis; should a frame ever meet it, its storage is what failed.
      code: reason.code === "redis_unavailable" ? "storage" : reason.code,
      retryAfterMs: reason.retryAfterMs,
      detail: reason.detail,
    });
  }
}

/** What the map has under the key, from now on at the end of its order: the first one is what was longest not looked for. */
export function lastUsed<K, V>(map: Map<K, V>, key: K): V | undefined {
  const value = map.get(key);
  if (value === undefined) return undefined;
  map.delete(key);
  map.set(key, value);
  return value;
}
