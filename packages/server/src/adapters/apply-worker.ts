import { once } from "node:events";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { ApplyWorker, WorkerReply, WorkerRequest } from "@trivet/engine";
import { packed } from "./packed.ts";

type Done = (reply: WorkerReply) => void;
/** What the thread says: the answer to the request of that number. */
export interface ThreadReply {
  readonly id: number;
  readonly reply: WorkerReply;
}
export interface ThreadRequest {
  readonly id: number;
  /** Null = finish what is under way, close the stores and end. */
  readonly request: WorkerRequest | null;
}

const isSource = import.meta.url.endsWith(".ts");

/** Unbuilt, for development and tests: a thread has none of its process's loaders. */
function fromSource(): string {
  const loader = pathToFileURL(
    createRequire(import.meta.url)
      .resolve("tsx/esm/api")
      .replace(/\.cjs$/, ".mjs"),
  ).href;
  const thread = new URL("./apply-thread.ts", import.meta.url).href;
  return `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(thread)}); });`;
}

/**
 * The apply worker as a thread of its own (rule W4): page faults of the stores and long transactions hold up neither heartbeats nor calls.
 * What is asked in one turn crosses in one message, for a message costs as much as a small batch; entries and answers in one buffer per request.
 */
export class ThreadApplyWorker implements ApplyWorker {
  private readonly thread: Worker;
  private readonly open = new Map<number, Done>();
  /** Asked in this turn, and the buffers that go along. */
  private turn: ThreadRequest[] = [];
  private transfers: ArrayBuffer[] = [];
  private lastId = 0;
  private stopping: (() => void) | null = null;

  /**
   * @param directory Where the stores are; it is created when the first of them is.
   * @param fatal The thread ended by itself: nothing more is answered.
   */
  constructor(directory: string, fatal: (error: Error) => void) {
    const options = { workerData: { directory }, name: "trivet-apply" };
    this.thread = isSource
      ? new Worker(fromSource(), { ...options, eval: true, execArgv: ["--conditions=source"] })
      : new Worker(new URL("./apply-thread.js", import.meta.url), options);
    this.thread.on("message", (replies: readonly ThreadReply[]) => {
      for (const { id, reply } of replies) {
        const done = this.open.get(id);
        this.open.delete(id);
        done?.(reply);
      }
    });
    this.thread.on("error", (error) => fatal(error instanceof Error ? error : new Error(String(error))));
    this.thread.on("exit", (code) => {
      if (this.stopping !== null) this.stopping();
      else fatal(new Error(`the apply worker ended with code ${code}`));
    });
  }

  call(request: WorkerRequest, done: Done): void {
    this.lastId += 1;
    this.open.set(this.lastId, done);
    if (request.type === "apply") {
      const { parts, buffer } = packed(request.entries.map(({ payload }) => payload));
      const entries = request.entries.map(({ index, term, kind }, at) => ({ index, term, kind, payload: parts[at] as Uint8Array }));
      this.send({ id: this.lastId, request: { ...request, entries } }, [buffer]);
    } else if (request.type === "load-chunk") {
      const { parts, buffer } = packed([request.chunk]);
      this.send({ id: this.lastId, request: { ...request, chunk: parts[0] as Uint8Array } }, [buffer]);
    } else this.send({ id: this.lastId, request }, []);
  }

  stop(done: () => void): void {
    this.stopping = done;
    this.send({ id: 0, request: null }, []);
  }

  /** For programs that end without `stop`. */
  async terminate(): Promise<void> {
    this.stopping ??= () => {};
    const exited = once(this.thread, "exit");
    await this.thread.terminate();
    await exited;
  }

  private send(request: ThreadRequest, transfer: readonly ArrayBuffer[]): void {
    if (this.turn.length === 0) queueMicrotask(this.endTurn);
    this.turn.push(request);
    this.transfers.push(...transfer);
  }

  private readonly endTurn = (): void => {
    const { turn, transfers } = this;
    this.turn = [];
    this.transfers = [];
    this.thread.postMessage(turn, transfers);
  };
}
