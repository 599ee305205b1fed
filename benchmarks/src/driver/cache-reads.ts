import { connect, type Socket } from "node:net";
import { type CacheClient, valueOf } from "./cache-client.ts";
import { Histogram, type HistogramData } from "./histogram.ts";

export interface CacheReadOptions {
  /** In this order, again and again. The process keeps no copy of any. */
  readonly keys: readonly string[];
  readonly reads: number;
  /** Of a process that sends back what it gets. */
  readonly echoPort: number;
}

export interface CacheReadResult {
  readonly reads: HistogramData;
  /** Of as many bytes as a value has, between the reads: the same moment, the same machine. */
  readonly round_trips: HistogramData;
  readonly seconds: number;
}

/** One read at a time, each followed by one round trip of the same size over a plain TCP connection. */
export async function cacheReads(client: CacheClient, { keys, reads, echoPort }: CacheReadOptions): Promise<CacheReadResult> {
  const echo = await Echo.connect(echoPort);
  const times = new Histogram();
  const roundTrips = new Histogram();
  let seconds = 0;
  try {
    for (let read = 0; read < reads; read++) {
      const key = keys[read % keys.length] ?? "";
      const startedAt = performance.now();
      const answer = await client.get(key);
      const ms = performance.now() - startedAt;
      if (client.textOf(answer) === null) throw new Error(`${key} has no value: this is no hit`);
      times.record(ms);
      seconds += ms / 1000;
      const sentAt = performance.now();
      await echo.roundTrip();
      roundTrips.record(performance.now() - sentAt);
    }
  } finally {
    echo.close();
  }
  return { reads: times.toData(), round_trips: roundTrips.toData(), seconds };
}

class Echo {
  readonly #socket: Socket;
  readonly #bytes = Buffer.from(valueOf(0));
  #missing = 0;
  #done: { readonly resolve: () => void; readonly reject: (error: Error) => void } | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => {
      this.#missing -= data.length;
      if (this.#missing <= 0) this.#done?.resolve();
    });
    socket.on("error", (error) => {
      this.#done?.reject(error);
    });
  }

  static connect(port: number): Promise<Echo> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
        socket.off("error", reject);
        resolve(new Echo(socket));
      });
      socket.once("error", reject);
    });
  }

  roundTrip(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#missing = this.#bytes.length;
      this.#done = { resolve, reject };
      this.#socket.write(this.#bytes);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
