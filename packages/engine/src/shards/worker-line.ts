import { mutant } from "@trivet/core/mutation";
import type { ApplyWorker, StateNumber, WorkerReply, WorkerRequest } from "./worker-protocol.ts";

export type Failed = Extract<WorkerReply, { readonly type: "failed" }>;
export type Succeeded = Exclude<WorkerReply, Failed>;

interface Asked {
  /** Ascending in the order of the calls. */
  readonly number: number;
  readonly request: WorkerRequest;
  readonly done: (reply: Succeeded) => void;
  readonly wanted: () => boolean;
}

/** What may overtake others: it asks for the state as it is, or says itself how far it came. */
const unordered: ReadonlySet<WorkerRequest["type"]> = new Set(["query", "lookup", "definitions", "flush"]);

/**
 * The requests of one machine to its worker. One that finds no space is made again after a while, and all that came behind it wait for it: a cut is
 * made behind the entries it shall hold, and entries are applied in their order (rules W2, W5). They are for the machine's own state: what is made
 * again after another took its place must not change that one (rule W7).
 */
export class WorkerLine {
  private readonly worker: ApplyWorker;
  private readonly state: StateNumber;
  private readonly failed: (failure: Failed) => void;
  private readonly retryLater: (run: () => void) => void;
  private readonly anew: (request: WorkerRequest) => WorkerRequest;
  private last = 0;
  /** Without answer yet. */
  private underWay = 0;
  /** The one that found no space and those behind it, in order. */
  private readonly stalled: Asked[] = [];
  private due = false;
  private isClosed = false;

  /** `anew`: a request as it is made again. */
  constructor(
    worker: ApplyWorker,
    state: StateNumber,
    failed: (failure: Failed) => void,
    retryLater: (run: () => void) => void,
    anew: (request: WorkerRequest) => WorkerRequest,
  ) {
    this.worker = worker;
    this.state = state;
    this.failed = failed;
    this.retryLater = retryLater;
    this.anew = anew;
  }

  /** `done` hears of success only. `wanted`: asked before it is sent, also again; where it says no, the request is left out. */
  ask(request: WorkerRequest, done: (reply: Succeeded) => void, wanted: () => boolean = always): void {
    if (this.isClosed) return;
    const meant = mutant("shard-asks-any-state") ? request : { ...request, state: this.state };
    if (unordered.has(meant.type)) return this.askAside(meant, done);
    this.last += 1;
    const asked = { number: this.last, request: meant, done, wanted };
    if (this.stalled.length > 0) this.stalled.push(asked);
    else this.send(asked);
  }

  /** Nothing is asked or answered any more. */
  close(): void {
    this.isClosed = true;
    this.stalled.length = 0;
  }

  private askAside(request: WorkerRequest, done: (reply: Succeeded) => void): void {
    if (this.isClosed) return;
    this.worker.call(request, (reply) => {
      if (this.isClosed) return;
      if (reply.type !== "failed") done(reply);
      else if (reply.cause === "no-space") this.retryLater(() => this.askAside(request, done));
      else this.fail(reply);
    });
  }

  private send(asked: Asked): void {
    if (!asked.wanted()) return;
    this.underWay += 1;
    this.worker.call(asked.request, (reply) => {
      if (this.isClosed) return;
      this.underWay -= 1;
      if (reply.type !== "failed") asked.done(reply);
      else if (reply.cause === "no-space") this.stall(asked);
      else this.fail(reply);
      this.resend();
    });
  }

  private fail(failure: Failed): void {
    // The host has loaded the state that takes this one's place, and is about to switch to it.
    if (failure.cause === "superseded") this.close();
    else this.failed(failure);
  }

  /** Those behind it that were sent already find no space either, one after the other. */
  private stall(asked: Asked): void {
    const { stalled } = this;
    stalled.push(asked);
    stalled.sort((a, b) => a.number - b.number);
    if (stalled.length > 1) return;
    this.retryLater(() => {
      this.due = true;
      this.resend();
    });
  }

  /** Not while one is under way that may come back: it would then be behind those that it stood before. */
  private resend(): void {
    if (!this.due || this.isClosed || (this.underWay > 0 && !mutant("shard-retry-overtaken"))) return;
    this.due = false;
    for (const asked of this.stalled.splice(0)) this.send({ ...asked, request: this.anew(asked.request) });
  }
}

function always(): boolean {
  return true;
}
