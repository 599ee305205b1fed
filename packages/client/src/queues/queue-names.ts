import { type AwaitQueue, type QueueResolved, type ResolveQueue, encodeClientFrame } from "@trivet/wire";
import type { CommandStream } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";

/** What must be known of a queue to give commands to its shards. */
export type KnownQueue = Pick<QueueResolved, "queue" | "version" | "partitions" | "shards" | "backend">;

type Question = Pick<ResolveQueue, "type" | "create"> | Pick<AwaitQueue, "type" | "waitMs">;
interface Asked {
  readonly bytes: Uint8Array;
  readonly told: ((answer: QueueResolved | null) => void)[];
}

/** Pause after a node that cannot tell at present. */
const pauseMs = 100;
/** Pauses before a shard that has not heard of a queue is asked again; they double. */
const firstPauseMs = 5;
const longestPauseMs = 250;

/** Names of queues to their numbers: asked of the node once, then remembered until a shard says that it is old. */
export class QueueNames {
  private readonly stream: CommandStream;
  private readonly known = new Map<string, KnownQueue>();
  /** By request. One question is under way for a name at a time. */
  private readonly asked = new Map<number, Asked>();
  private readonly underWay = new Map<string, Asked>();
  private requests = 0;
  private isClosed = false;

  constructor(stream: CommandStream) {
    this.stream = stream;
  }

  get isWaiting(): boolean {
    return this.asked.size > 0;
  }

  cached(name: string): KnownQueue | undefined {
    return this.known.get(name);
  }

  /** What is remembered is old. */
  forget(name: string, queue: KnownQueue): void {
    if (this.known.get(name) === queue) this.known.delete(name);
  }

  /** `create`: made when it is not there. Null = there is no such queue. Rejects with TrivetError. */
  resolve(name: string, create: boolean, deadline: number): Promise<KnownQueue | null> {
    return this.lookUp(name, { type: "resolve-queue", create }, deadline);
  }

  /** Null = there was no such queue for `waitMs`, or the node could not wait so long. Rejects with TrivetError. */
  await(name: string, waitMs: number, deadline: number): Promise<KnownQueue | null> {
    return this.lookUp(name, { type: "await-queue", waitMs }, deadline);
  }

  /**
   * A shard does not know `old`: it has not heard of it yet, or not any more. After a pause, longer with each of `tries`, who has the name now.
   * Null and rejections as of `resolve`.
   */
  async renew(name: string, old: KnownQueue, create: boolean, deadline: number, tries: number): Promise<KnownQueue | null> {
    this.forget(name, old);
    await new Promise((resolve) => setTimeout(resolve, Math.min(longestPauseMs, firstPauseMs * 2 ** tries)));
    return this.resolve(name, create, deadline);
  }

  private async lookUp(name: string, question: Question, deadline: number): Promise<KnownQueue | null> {
    for (;;) {
      const known = this.known.get(name);
      if (known !== undefined) return known;
      if (this.isClosed) throw new TrivetError("closed", "The connection is closed");
      if (!this.stream.knowsQueues) throw new TrivetError("upgrade_required", "The node is older than queues over streams");
      const answer = await this.ask(name, question, deadline);
      if (answer === null) throw this.unreachable();
      switch (answer.refusal) {
        case "none":
          return this.remember(name, answer);
        case "unknown":
          return null;
        case "invalid":
          throw new TrivetError("bad_request", `Queue ${name}: ${answer.detail}`);
        case "too-many":
          throw new TrivetError("quota_exceeded", answer.detail, { retryable: true });
        case "unavailable":
          if (performance.now() + pauseMs > deadline)
            throw new UnavailableError("no_leader", `Queue ${name} cannot be looked up: ${answer.detail}`);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  answered(answer: QueueResolved): void {
    const asked = this.asked.get(answer.request);
    if (asked === undefined) return;
    this.asked.delete(answer.request);
    for (const [key, one] of this.underWay) if (one === asked) this.underWay.delete(key);
    for (const told of asked.told) told(answer);
  }

  /** There is a new link: what was asked may be lost. */
  connected(): void {
    for (const { bytes } of this.asked.values()) this.stream.send(bytes);
  }

  close(): void {
    this.isClosed = true;
    for (const { told } of this.asked.values()) for (const one of told) one(null);
    this.asked.clear();
    this.underWay.clear();
  }

  private remember(name: string, answer: QueueResolved): KnownQueue {
    const { queue, version, partitions, shards, backend } = answer;
    // Several may have waited for one answer: they share what it says.
    const before = this.known.get(name);
    if (before?.queue === queue && before.version >= version) return before;
    const known = { queue, version, partitions, shards, backend };
    this.known.set(name, known);
    return known;
  }

  /** Null = no answer by the deadline, or closed. */
  private ask(name: string, question: Question, deadline: number): Promise<QueueResolved | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), Math.max(0, deadline - performance.now()));
      const told = (answer: QueueResolved | null): void => {
        clearTimeout(timer);
        resolve(answer);
      };
      const key = JSON.stringify([name, question]);
      const under = this.underWay.get(key);
      if (under !== undefined) return void under.told.push(told);
      const request = ++this.requests;
      const asked = { bytes: encodeClientFrame({ ...question, request, name }), told: [told] };
      this.asked.set(request, asked);
      this.underWay.set(key, asked);
      this.stream.send(asked.bytes);
    });
  }

  private unreachable(): TrivetError {
    if (this.isClosed) return new TrivetError("closed", "The connection was closed");
    return new UnavailableError("unreachable", `No node answered in time: ${this.stream.describeFailures()}`);
  }
}
