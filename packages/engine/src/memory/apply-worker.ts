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

/** The apply worker on the caller's own clock: one request after the other, each taking as long as `latencyMs` says. */
export class MemoryApplyWorker implements ApplyWorker {
  private readonly clock: Clock;
  private readonly worker: ShardWorker;
  private readonly latencyMs: (request: WorkerRequest) => number;
  private readonly waiting: Asked[] = [];
  private busy = false;
  private stopping: (() => void) | null = null;

  constructor(clock: Clock, stores: OrderedStores, latencyMs: (request: WorkerRequest) => number = () => 0, bufferedBytes?: number) {
    this.clock = clock;
    const buffer = { checkedWith, ...(bufferedBytes === undefined ? {} : { maxBytes: bufferedBytes }) };
    this.worker = new ShardWorker(stores, { buffer, hashes: true });
    this.latencyMs = latencyMs;
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
