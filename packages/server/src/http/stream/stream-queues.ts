import { httpLimits } from "@trivet/contract";
import type { Outcome, Unavailable } from "@trivet/engine";
import {
  type AwaitQueue,
  begunStreamProtocol,
  cacheCommandNumbers,
  checkFrame,
  type ClosingCode,
  CodecError,
  type ConsumerBegun,
  FrameCursor,
  formerShardCommandNumbers,
  type FrameHeader,
  type QueueReady,
  type QueueResolved,
  queueStreamProtocol,
  type ResolveQueue,
  type ShardCommands,
  shardCommandNumbers,
  type TraceContext,
  type WatchQueue,
} from "@trivet/wire";
import { queueDefaults } from "../../config/index.ts";
import { anonymousPrincipal, type HttpContext } from "../context.ts";
import { rateRefusal, type StreamCaller, whyForbiddenToShard } from "./stream-commands.ts";
import { lastUsed } from "./stream-route.ts";
import type { ShardSink, StreamShardRoute } from "./stream-shard-route.ts";
import { shardRouteOf, TracedShardRoute } from "./stream-shard-spans.ts";
import type { ReadyListener, StreamWatches } from "./stream-watches.ts";
import { WatchedConsumers } from "../queues/watched-consumers.ts";

/** Lanes of one client that this node routes answers of shards for, over all groups; the longest unused goes first. */
const maxRoutes = 4_096;
const maxResolving = 128;
/** Names that a stream waits for; beyond it "there is none" is answered at once. */
const maxAwaited = 1_024;
const maxWatches = 4_096;

/** Only leaders of shards propose these; what a consumer holds is given up by the node it was connected to. */
const reservedCommands: ReadonlySet<number> = new Set([
  shardCommandNumbers["configure-queue"],
  shardCommandNumbers["drop-queue"],
  shardCommandNumbers["expire-leases"],
  formerShardCommandNumbers["expire-leases"],
  shardCommandNumbers["fence-floor"],
  // It knows no bound: logs of before have it.
  formerShardCommandNumbers.redrive,
  shardCommandNumbers["adopt-rules"],
  // Cached values are written through their home, which withdraws the copies first (rule M3).
  ...Object.values(cacheCommandNumbers),
]);
const forbidden = { code: "forbidden", retryAfterMs: 0, detail: "a command that only nodes may send" } as const;
const none = { queue: 0, version: 0, partitions: 0, shards: 0, backend: "embedded" } as const;

/** The stream that this belongs to. */
export interface QueueStream extends ShardSink {
  readonly bufferedBytes: number;
  readonly caller: StreamCaller;
  close(code: ClosingCode, detail: string): void;
}

/** Queues on one stream (protocol 3): command frames of shards, names, and hints that something is ready. */
export class StreamQueues implements ReadyListener {
  readonly #stream: QueueStream;
  readonly #context: HttpContext;
  readonly #watches: StreamWatches;
  readonly #routes = new Map<string, StreamShardRoute>();
  readonly #watching = new WatchedConsumers();
  readonly #cursor = new FrameCursor();
  /** How to stop waiting for names of queues that are not there. */
  readonly #awaiting = new Set<() => void>();
  #resolving = 0;
  #closed = false;
  #isStopping = false;

  constructor(stream: QueueStream, context: HttpContext, watches: StreamWatches) {
    this.#stream = stream;
    this.#context = context;
    this.#watches = watches;
  }

  /** Throws CodecError. */
  frame(
    frame: ShardCommands | ResolveQueue | AwaitQueue | WatchQueue | ConsumerBegun,
    protocol: number,
    traces: readonly TraceContext[],
  ): void {
    const oldest = frame.type === "consumer-begun" ? begunStreamProtocol : queueStreamProtocol;
    if (protocol < oldest) this.#stream.close("protocol", `${frame.type} is not of protocol ${protocol}`);
    else if (frame.type === "shard-commands") this.commands(frame, traces);
    else if (frame.type === "resolve-queue") this.resolve(frame);
    else if (frame.type === "await-queue") this.await(frame);
    else if (frame.type === "consumer-begun") this.#watching.begun(frame);
    else this.watch(frame);
  }

  commands({ group, frame }: ShardCommands, traces: readonly TraceContext[]): void {
    const header = checkFrame(frame);
    const { shards } = this.#context.node;
    const spread = shards.spread();
    const refuse = (reason: Pick<Unavailable, "retryAfterMs" | "detail"> & { readonly code: Unavailable["code"] | "forbidden" }): void =>
      this.#refuse(group, header, reason);
    if (spread === null) return refuse({ code: "no_leader", retryAfterMs: 200, detail: "this node has no queues yet" });
    if (group < 1 || group > spread.shards) throw new CodecError(`shard ${group} where there are ${spread.shards}`);
    this.#cursor.open(frame);
    while (this.#cursor.next()) {
      const number = this.#cursor.command.u8();
      if (reservedCommands.has(number)) return refuse(forbidden);
      const why = whyForbiddenToShard(number, this.#stream.caller);
      if (why !== null) return refuse({ ...forbidden, detail: why });
    }
    const overRate = rateRefusal(this.#stream.caller, header.count);
    if (overRate !== null) return refuse(overRate);
    // Answers may be large: who does not read them gets no more to read.
    if (this.#stream.bufferedBytes > httpLimits.maxBufferedBytes / 2) {
      return refuse({ code: "overloaded", retryAfterMs: 50, detail: "the client reads too slowly" });
    }
    this.#context.metrics.count("stream_frames_total", 1);
    const route = this.#route(group, header.caller);
    const refused =
      route instanceof TracedShardRoute
        ? route.submit(frame, header, traces, () => shards.submitFrame(group, frame))
        : shards.submitFrame(group, frame);
    if (refused !== null) route.refused(header.firstSequence, header.count, refused);
  }

  resolve(frame: ResolveQueue): void {
    if (this.#resolving >= maxResolving) {
      this.#stream.close("overloaded", "too many names of queues are being looked up");
      return;
    }
    this.#lookUp(frame, (unknown) => this.#resolved(frame, unknown));
  }

  /** As a long poll for a queue that is not there. */
  await(frame: AwaitQueue): void {
    const { name, request } = frame;
    // After a reconnect a client asks for all that it waits for at once.
    if (this.#resolving >= maxResolving) {
      const detail = "too many names of queues are being looked up";
      return this.#stream.send({ type: "queue-resolved", request, ...none, refusal: "unavailable", detail });
    }
    const asked: ResolveQueue = { type: "resolve-queue", request, name, create: false };
    const { queues } = this.#context;
    this.#lookUp(asked, (unknown) => {
      if (queues === null || this.#closed || this.#awaiting.size >= maxAwaited) return this.#resolved(asked, unknown);
      this.#resolving -= 1;
      const stop = queues.awaitQueue(name, Math.min(frame.waitMs, httpLimits.maxWaitMs), () => {
        this.#awaiting.delete(stop);
        if (!this.#closed) this.#lookUp(asked, (still) => this.#resolved(asked, still));
      });
      this.#awaiting.add(stop);
    });
  }

  #lookUp(frame: ResolveQueue, unknown: (answer: Omit<QueueResolved, "type" | "request">) => void): void {
    this.#resolving += 1;
    const { node, config } = this.#context;
    const timeoutMs = config.http.requestTimeoutMs;
    node.read("linearizable", timeoutMs, (outcome) => {
      if (outcome.type !== "ready") return this.#resolved(frame, { ...none, refusal: "unavailable", detail: outcome.detail });
      const known = outcome.state.queue(frame.name);
      if (known !== null) return this.#found(frame, known.queue, known.definition);
      if (!frame.create || !config.queues.autoCreate) return unknown({ ...none, refusal: "unknown", detail: "" });
      // Never changes one that another caller made in between.
      const settings = queueDefaults(config);
      node.submit(
        { type: "define-queue", name: frame.name, mode: "create", settings, principal: anonymousPrincipal },
        { timeoutMs },
        (made) => this.#made(frame, made),
      );
    });
  }

  watch(frame: WatchQueue): void {
    const isOn = this.#watching.has(frame);
    if (frame.on === isOn) return;
    if (!frame.on) {
      this.#watching.remove(frame);
      this.#watches.remove(frame.queue, frame.group, frame.consumer, this);
      return;
    }
    if (this.#watching.size >= maxWatches) {
      this.#stream.close("overloaded", `more than ${maxWatches} consumers on one stream`);
      return;
    }
    this.#watching.add(frame);
    this.#watches.add(frame.queue, frame.group, frame.consumer, this);
  }

  ready(frame: QueueReady): void {
    this.#stream.send(frame);
  }

  /** This node ends the stream because it stops: that is no failure of what was begun. */
  stopping(): void {
    this.#isStopping = true;
  }

  /** The stream is gone, and with it the consumers that watched on it (rule Q3). */
  closed(): void {
    this.#closed = true;
    for (const stop of this.#awaiting) stop();
    const { node } = this.#context;
    for (const { group, caller } of this.#routes.values()) this.#end(group, caller);
    const gone = this.#watching.end(({ queue, group, consumer }) => this.#watches.remove(queue, group, consumer, this), this.#isStopping);
    if (gone.length === 0) return;
    node.read("stale", this.#context.config.http.requestTimeoutMs, (outcome) => {
      if (outcome.type !== "ready") return;
      for (const { queue, consumer, begun } of gone) {
        const view = outcome.state.queueByNumber(queue);
        if (view !== null) node.shards.consumerGone(queue, view.definition.partitions, consumer, begun);
      }
    });
  }

  #refuse(
    group: number,
    { caller, firstSequence, count }: FrameHeader,
    reason: Pick<Unavailable, "retryAfterMs" | "detail"> & { readonly code: Unavailable["code"] | "forbidden" },
  ): void {
    const { code, retryAfterMs, detail } = reason;
    this.#stream.send({ type: "shard-refused", group, caller, firstSequence, count, code, retryAfterMs, detail });
  }

  /** The answers of this caller come here from now on, also when another connection had them (a reconnect). */
  #route(group: number, caller: string): StreamShardRoute {
    const key = `${group}/${caller}`;
    const known = lastUsed(this.#routes, key);
    if (known !== undefined) return known;
    const route = shardRouteOf(group, caller, this.#stream, this.#context.tracing);
    this.#routes.set(key, route);
    this.#context.node.shards.route(group, caller, route);
    if (this.#routes.size > maxRoutes) {
      const [oldest] = this.#routes.values();
      if (oldest !== undefined) this.#end(oldest.group, oldest.caller);
    }
    return route;
  }

  #end(group: number, caller: string): void {
    const key = `${group}/${caller}`;
    const route = this.#routes.get(key);
    if (route === undefined) return;
    this.#routes.delete(key);
    this.#context.node.shards.endRoute(group, caller, route);
    if (route instanceof TracedShardRoute) route.ends();
  }

  #made(frame: ResolveQueue, made: Outcome): void {
    if (made.type === "unavailable") return this.#resolved(frame, { ...none, refusal: "unavailable", detail: made.detail });
    if (made.type !== "answered") return this.#resolved(frame, { ...none, refusal: "unavailable", detail: "no answer in time" });
    const { result } = made;
    if (result.type === "queue-defined") return this.#found(frame, result.queue, result.definition);
    if (result.type === "queue-refused" && result.reason === "exists") return this.#found(frame, result.queue, result.definition);
    if (result.type === "queue-refused" && result.reason === "too-many") {
      return this.#resolved(frame, { ...none, refusal: "too-many", detail: `${result.max} queues are the most` });
    }
    const detail = result.type === "queue-refused" && result.reason === "invalid" ? result.detail : result.type;
    return this.#resolved(frame, { ...none, refusal: "invalid", detail });
  }

  #found(frame: ResolveQueue, queue: number, { version, partitions }: { readonly version: number; readonly partitions: number }): void {
    const spread = this.#context.node.shards.spread();
    if (spread === null) return this.#resolved(frame, { ...none, refusal: "unavailable", detail: "this node has no queues yet" });
    return this.#resolved(frame, { queue, version, partitions, ...spread, refusal: "none", detail: "" });
  }

  #resolved(frame: ResolveQueue, answer: Omit<QueueResolved, "type" | "request">): void {
    this.#resolving -= 1;
    if (!this.#closed) this.#stream.send({ type: "queue-resolved", request: frame.request, ...answer });
  }
}
