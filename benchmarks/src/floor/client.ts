import { WebSocket } from "ws";
import type { Granted, LockClient, Released } from "../driver/lock-client.ts";
import { commandBytes, decodeProgress, socketOptions } from "./protocol.ts";

/** Commands of one turn of the event loop travel as one message, as in the SDK. */
export class Pipe {
  readonly #socket: WebSocket;
  readonly #recordBytes: number;
  readonly #waiting: ((error: Error | null) => void)[] = [];
  #head = 0;
  #sent = 0;
  #queued = 0;
  #answered = 0;
  #scheduled = false;

  constructor(socket: WebSocket, recordBytes: number) {
    this.#socket = socket;
    this.#recordBytes = recordBytes;
    socket.on("message", (bytes) => {
      this.#answer(decodeProgress(bytes as Buffer));
    });
    socket.on("close", () => {
      const lost = this.#waiting.splice(this.#head);
      this.#head = 0;
      for (const done of lost) done(new Error("the connection to the floor's leader was closed"));
    });
  }

  submit(done: (error: Error | null) => void): void {
    this.#waiting.push(done);
    this.#queued++;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    const bytes = Buffer.allocUnsafe(this.#queued * this.#recordBytes);
    for (let index = 0; index < this.#queued; index++) bytes.writeDoubleLE(this.#sent + index, index * this.#recordBytes);
    this.#sent += this.#queued;
    this.#queued = 0;
    this.#socket.send(bytes);
  };

  #answer(committed: number): void {
    while (this.#answered < committed) {
      const done = this.#waiting[this.#head];
      if (done === undefined) throw new Error("the floor answered a command that was never sent");
      this.#head++;
      this.#answered++;
      done(null);
    }
    // Forget the answered ones in large steps: shifting an array per answer would cost more than the answer.
    if (this.#head > 4096 && this.#head * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** Connects to the leader of a floor whose commands have `recordBytes` bytes. */
export function connectPipe(url: string, recordBytes: number): Promise<Pipe> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, socketOptions);
    socket.once("error", reject);
    socket.once("open", () => {
      resolve(new Pipe(socket, recordBytes));
    });
  });
}

/** The line of callers for one name. The floor has no locks: the line is kept here, and a hand-off costs the commit of the release. */
interface Line {
  held: boolean;
  readonly waiting: Granted[];
}

/** Presents the floor as a lock service: each acquire and each release is one 64-byte command through the log. */
export class FloorClient implements LockClient {
  readonly holders: null = null;
  readonly #pipe: Pipe;
  readonly #lines = new Map<string, Line>();

  private constructor(pipe: Pipe) {
    this.#pipe = pipe;
  }

  static async connect(url: string): Promise<FloorClient> {
    return new FloorClient(await connectPipe(url, commandBytes));
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  acquire(_caller: number, name: string, waitMs: number, done: Granted): void {
    if (waitMs === 0) {
      this.#pipe.submit(done as (error: Error | null) => void);
      return;
    }
    this.#pipe.submit((error) => {
      if (error !== null) {
        done(error, null);
        return;
      }
      const line = this.#lines.get(name);
      if (line === undefined) {
        this.#lines.set(name, { held: true, waiting: [] });
        done(null, null);
      } else if (line.held) {
        line.waiting.push(done);
      } else {
        line.held = true;
        done(null, null);
      }
    });
  }

  release(_caller: number, name: string, _handle: unknown, done: Released): void {
    const line = this.#lines.get(name);
    if (line === undefined) {
      this.#pipe.submit(done);
      return;
    }
    this.#pipe.submit((error) => {
      const next = line.waiting.shift();
      if (next === undefined) line.held = false;
      else next(error, null);
      done(error);
    });
  }

  close(): Promise<void> {
    this.#pipe.close();
    return Promise.resolve();
  }
}
