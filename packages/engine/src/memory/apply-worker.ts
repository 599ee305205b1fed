import type { Clock } from "../ports/clock.ts";
import { MemoryCrypto } from "./crypto.ts";
import type { OrderedStores } from "../ports/ordered-store.ts";
import { ShardWorker } from "../shards/shard-worker.ts";
import type { ApplyWorker, WorkerReply, WorkerRequest } from "../shards/worker-protocol.ts";

const crypto = new MemoryCrypto();
const checkedWith = (bytes: Uint8Array, start?: number): number => crypto.crc32(bytes, start);

interface Asked {
  readonly request: WorkerRequest;
  readonly done: (reply: WorkerReply) => void;
}

export interface MemoryApplyWorkerOptions {
  /** Virtual milliseconds a request takes; 0 = it is done at the end of the turn. */
  readonly latencyMs?: (request: WorkerRequest) => number;
  /** What it may keep of a store in memory; 0 = nothing, left out = as much as a node's. */
  readonly bufferedBytes?: number;
  /**
   * Checked (the default), it says the state's hash with every answer, and compares what is buffered with what the store has. Without, it does as a node's
   * thread does: a hash is a matter of the store below, and has to be asked for.
   */
  readonly checked?: boolean;
}

/** The apply worker on the caller's own clock: one request after the other, each taking as long as `latencyMs` says. */
export class MemoryApplyWorker implements ApplyWorker {
  private readonly clock: Clock;
  private readonly worker: ShardWorker;
  private readonly latencyMs: (request: WorkerRequest) => number;
  private readonly waiting: Asked[] = [];
  private busy = false;
  private stopping: (() => void) | null = null;

  constructor(clock: Clock, stores: OrderedStores, { latencyMs, bufferedBytes, checked = true }: MemoryApplyWorkerOptions = {}) {
    this.clock = clock;
    const bound = bufferedBytes === undefined ? {} : { maxBytes: bufferedBytes };
    this.worker = new ShardWorker(stores, checked ? { buffer: { checkedWith, ...bound }, hashes: true } : { buffer: bound });
    this.latencyMs = latencyMs ?? (() => 0);
  }

  call(request: WorkerRequest, done: (reply: WorkerReply) => void): void {
    this.waiting.push({ request, done });
    this.next();
  }

  stop(done: () => void): void {
    this.stopping = done;
    this.next();
  }

  private next(): void {
    if (this.busy) return;
    const asked = this.waiting.shift();
    if (asked === undefined) {
      const { stopping } = this;
      this.stopping = null;
      if (stopping !== null) this.clock.defer(() => this.worker.stop(stopping));
      return;
    }
    this.busy = true;
    const { done, request } = asked;
    const run = (): void => {
      // Not waited for: it takes as long as the disk does, and the group goes on.
      if (request.type === "flush") {
        this.worker.handle(request, (reply) => this.clock.defer(() => done(reply)));
        this.idle();
      } else {
        this.worker.handle(request, (reply) => {
          this.clock.defer(() => done(reply));
          this.idle();
        });
      }
    };
    const latency = this.latencyMs(request);
    if (latency > 0) this.clock.schedule(latency, run);
    else this.clock.defer(run);
  }

  private idle(): void {
    this.busy = false;
    this.next();
  }
}
