import { httpLimits } from "@trivet/contract";
import {
  checkFrame,
  CodecError,
  decodeClientFrame,
  encodeServerFrame,
  FrameCursor,
  GatheredWrites,
  limits as wireLimits,
  oldestStreamProtocol,
  streamProtocol,
  tracedStreamProtocol,
  type ClosingCode,
  type Hello,
  type KeepAlive,
  type PlainClientFrame,
  type Result,
  type ServerFrame,
  type TraceContext,
} from "@trivet/wire";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type RawData, type WebSocket } from "ws";
import { queueDefaults } from "../../config/index.ts";
import { badField, failure } from "../answer.ts";
import { refuseSocket } from "../connections.ts";
import type { HttpContext } from "../context.ts";
import type { Identity } from "../../security/policy.ts";
import { countResult } from "../outcomes.ts";
import { bytesOf } from "../socket-data.ts";
import { StreamCache } from "./stream-cache.ts";
import { refusalOf, StreamCaller } from "./stream-commands.ts";
import { type Leader, leaderOf } from "./stream-leader.ts";
import { StreamQueues } from "./stream-queues.ts";
import { lastUsed, type StreamRoute } from "./stream-route.ts";
import { routeOf, TracedRoute } from "./stream-spans.ts";
import { StreamWatches } from "./stream-watches.ts";

/** Lanes of one client that this node routes answers for; the longest unused goes first. */
const maxCallersPerStream = 4_096;
const leaderPollMs = 50;
/** Batches of keepalives of one stream that wait for their round. The SDK has a few; each may name thousands of sessions. */
const maxKeepAlives = 128;
const noTraces: readonly TraceContext[] = [];

class StreamConnection {
  readonly #socket: WebSocket;
  readonly #writes: GatheredWrites;
  readonly #server: StreamServer;
  readonly #context: HttpContext;
  readonly #routes = new Map<string, StreamRoute>();
  readonly #cursor = new FrameCursor();
  readonly sessions: Set<number> = new Set();
  readonly caller: StreamCaller;
  readonly #queues: StreamQueues;
  readonly #cache: StreamCache;
  /** What both ends speak; 0 = no hello yet. */
  #protocol = 0;
  #closing = false;
  #keepAlives = 0;
  #pinged = false;
  readonly #forgetRights: () => void;
  /** Something arrived since the last ping. */
  alive = true;

  constructor(socket: WebSocket, below: Duplex, server: StreamServer, context: HttpContext, caller: StreamCaller) {
    this.#socket = socket;
    this.#writes = new GatheredWrites(below, (run) => process.nextTick(run));
    this.caller = caller;
    this.#server = server;
    this.#context = context;
    this.#queues = new StreamQueues(this, context, server.watches);
    this.#cache = new StreamCache(this, context);
    this.#forgetRights = caller.whileAllowed((why) => this.close("unauthorized", why));
    socket.on("message", (data, isBinary) => this.#message(data, isBinary));
    socket.on("pong", () => {
      this.alive = true;
    });
    socket.on("close", () => this.#closed());
    // ws reports protocol faults and resets here, then closes by itself.
    socket.on("error", () => undefined);
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: ServerFrame): void {
    this.sendBytes(encodeServerFrame(frame));
  }

  /** A client that does not read is disconnected: its answers stay in the dedupe table (rule X1). */
  sendBytes(bytes: Uint8Array): void {
    if (this.#closing) return;
    if (this.#socket.bufferedAmount > httpLimits.maxBufferedBytes) {
      this.close("overloaded", "the client reads too slowly");
      this.#socket.terminate();
      return;
    }
    this.#writes.add(bytes.length);
    this.#socket.send(bytes, { binary: true });
  }

  answered(type: Result["type"]): void {
    countResult(this.#context, type);
  }

  close(code: ClosingCode, detail: string): void {
    if (this.#closing) return;
    this.#closing = true;
    if (code === "stopping") this.#queues.stopping();
    // Past the check of what is queued, and not held: it is the last frame, and the socket may be ended at once.
    this.#socket.send(encodeServerFrame({ type: "closing", code, detail }), { binary: true });
    this.#writes.end();
    this.#context.metrics.count("stream_disconnects_total", 1, { reason: code });
    this.#socket.close(code === "stopping" ? 1001 : code === "overloaded" ? 1013 : 1008, code);
  }

  ping(): void {
    if (!this.alive) {
      this.close("idle", "no answer to a ping");
      this.#socket.terminate();
      return;
    }
    // Programs answer pings by themselves: one that never says hello would keep its place for ever.
    if (this.#pinged && this.#protocol === 0) {
      this.close("protocol", "no hello came");
      return;
    }
    this.#pinged = true;
    this.alive = false;
    this.#socket.ping();
  }

  lookForNames(): void {
    this.#cache.lookForNames();
  }

  leaderChanged(leader: Leader): void {
    if (this.#protocol > 0) this.send({ type: "leader-changed", ...leader });
  }

  #closed(): void {
    this.#closing = true;
    this.#forgetRights();
    for (const [caller, route] of this.#routes) this.#forget(caller, route);
    this.#routes.clear();
    this.#queues.closed();
    this.#cache.closed();
    this.#server.gone(this);
  }

  #message(data: RawData, isBinary: boolean): void {
    if (this.#closing) return;
    this.alive = true;
    if (!isBinary) {
      this.close("protocol", "binary messages only");
      return;
    }
    try {
      this.#frame(bytesOf(data));
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.close("malformed", error.message);
    }
  }

  #frame(bytes: Uint8Array): void {
    const frame = decodeClientFrame(bytes);
    if (this.#protocol === 0 && frame.type !== "hello") return this.close("protocol", "the first frame must be hello");
    if (frame.type !== "traced") return this.#plain(frame, noTraces);
    if (this.#protocol < tracedStreamProtocol) return this.close("protocol", `traced is not of protocol ${this.#protocol}`);
    return this.#plain(frame.frame, frame.traces);
  }

  #plain(frame: PlainClientFrame, traces: readonly TraceContext[]): void {
    switch (frame.type) {
      case "hello":
        return this.#hello(frame);
      case "commands":
        return this.#commands(frame.frame, traces);
      case "keep-alive":
        this.#keepAlive(frame);
        return;
      case "ping":
        this.send({ type: "pong", nonce: frame.nonce, groupTime: this.#context.node.groupTime() });
        return;
      case "to-homes":
      case "resolve-namespace":
      case "invalidate-cache":
      case "load-cached":
        this.#cache.frame(frame, this.#protocol, traces);
        return;
      default:
        this.#queues.frame(frame, this.#protocol, traces);
    }
  }

  #hello(hello: Hello): void {
    if (this.#protocol > 0) {
      this.close("protocol", "hello came twice");
      return;
    }
    if (hello.protocol < oldestStreamProtocol) {
      this.close("protocol", `protocol ${hello.protocol} is no longer spoken; the oldest is ${oldestStreamProtocol}`);
      return;
    }
    this.#protocol = Math.min(hello.protocol, streamProtocol);
    if (hello.session !== 0) this.#uses(hello.session);
    const status = this.#context.node.status();
    this.send({
      type: "welcome",
      protocol: this.#protocol,
      cluster: status.cluster ?? "",
      node: status.node,
      ...leaderOf(this.#context),
      groupTime: this.#context.node.groupTime(),
      callerWindow: wireLimits.callerWindow,
      maxFrameBytes: wireLimits.maxFrameBytes,
      maxCommandsPerFrame: wireLimits.maxCommandsPerFrame,
      queueDefaults: queueDefaults(this.#context.config),
    });
  }

  #commands(frame: Uint8Array, traces: readonly TraceContext[]): void {
    const header = checkFrame(frame);
    this.#cursor.open(frame);
    const { caller, firstSequence, count } = header;
    const refusal = refusalOf(this.#cursor, this.caller, count);
    if (refusal !== null) {
      this.send({ type: "refused", caller, firstSequence, count, ...refusal });
      return;
    }
    this.#context.metrics.count("stream_frames_total", 1);
    const route = this.#route(caller);
    const { node } = this.#context;
    const refused = route instanceof TracedRoute ? route.submit(header, traces, () => node.submitFrame(frame)) : node.submitFrame(frame);
    if (refused !== null) route.refused(firstSequence, count, refused);
  }

  #forget(caller: string, route: StreamRoute): void {
    this.#context.node.endRoute(caller, route);
    if (route instanceof TracedRoute) route.ends();
  }

  /** The answers of this caller come here from now on, also when another connection had them (a reconnect). */
  #route(caller: string): StreamRoute {
    const known = lastUsed(this.#routes, caller);
    if (known !== undefined) return known;
    const route = routeOf(caller, this, this.#context.tracing);
    this.#routes.set(caller, route);
    this.#context.node.route(caller, route);
    const [oldest] = this.#routes;
    if (this.#routes.size <= maxCallersPerStream || oldest === undefined) return route;
    this.#routes.delete(oldest[0]);
    this.#forget(...oldest);
    return route;
  }

  #uses(session: number): void {
    this.sessions.add(session);
    this.#server.uses(session, this);
  }

  #keepAlive(frame: KeepAlive): void {
    if (this.#keepAlives >= maxKeepAlives) {
      this.close("overloaded", "too many keepalives wait for their answer");
      return;
    }
    this.#keepAlives++;
    this.#context.node.keepAlive(frame.sessions, this.#context.config.http.requestTimeoutMs, (outcome) => {
      this.#keepAlives--;
      if (this.#closing) return;
      const known = outcome.type === "alive" ? { alive: outcome.sessions, lost: outcome.lost } : { alive: [], lost: [] };
      // Only sessions that exist are remembered: the numbers are the client's to invent.
      for (const session of known.alive) if (!this.sessions.has(session)) this.#uses(session);
      this.send({ type: "keep-alive-answer", batch: frame.batch, groupTime: this.#context.node.groupTime(), ...known });
    });
  }
}

/** All streams of a node: accepts them, tells them of leader changes and lost sessions, and ends them. */
export class StreamServer {
  readonly #context: HttpContext;
  readonly #sockets: WebSocketServer;
  readonly #connections = new Set<StreamConnection>();
  readonly watches: StreamWatches;
  readonly #bySession = new Map<number, Set<StreamConnection>>();
  #timers: NodeJS.Timeout[] = [];
  #unwatch: (() => void) | null = null;
  #leader: Leader = { leader: "", leaderUrl: "", term: 0 };
  #closed = false;

  constructor(context: HttpContext) {
    this.#context = context;
    this.watches = new StreamWatches(() => context.node.shards);
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      skipUTF8Validation: true,
      maxPayload: httpLimits.maxStreamMessageBytes,
    });
    this.#sockets.on("wsClientError", (error, socket) => refuseSocket(socket, badField("request", error.message)));
  }

  /** Takes an upgrade that the dispatcher found to be for the stream. */
  readonly accept = (request: IncomingMessage, socket: Duplex, head: Buffer, identity: Identity | null): void => {
    if (this.#closed || this.#connections.size >= httpLimits.maxStreams) {
      refuseSocket(
        socket,
        this.#closed
          ? failure("stopping")
          : failure("too_many_requests", {
              values: { reason: `This node serves at most ${httpLimits.maxStreams} streams.` },
              retryAfterMs: 1_000,
            }),
      );
      return;
    }
    const caller = new StreamCaller(identity, request.socket.remoteAddress, this.#context);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (this.#connections.size === 0) this.#begin();
      this.#connections.add(new StreamConnection(webSocket, socket, this, this.#context, caller));
    });
  };

  uses(session: number, connection: StreamConnection): void {
    const users = this.#bySession.get(session) ?? new Set();
    users.add(connection);
    this.#bySession.set(session, users);
  }

  gone(connection: StreamConnection): void {
    this.#connections.delete(connection);
    for (const session of connection.sessions) {
      const users = this.#bySession.get(session);
      users?.delete(connection);
      if (users?.size === 0) this.#bySession.delete(session);
    }
    if (this.#connections.size === 0) this.#end();
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Tells every client that the node stops. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) connection.close("stopping", "the node is stopping");
    this.#end();
  }

  /** Timers run only while somebody listens. */
  #begin(): void {
    this.#leader = leaderOf(this.#context);
    this.#timers = [
      setInterval(() => this.#lookForLeader(), leaderPollMs),
      setInterval(() => this.#pingAll(), httpLimits.streamPingIntervalMs),
    ];
    this.#unwatch = this.#context.node.watch((event) => {
      if (event.type !== "session-ended") return;
      for (const connection of this.#bySession.get(event.session) ?? []) {
        connection.sessions.delete(event.session);
        connection.send({ type: "session-event", session: event.session, event: event.cause });
      }
      this.#bySession.delete(event.session);
    });
  }

  #end(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#unwatch?.();
    this.#unwatch = null;
  }

  #lookForLeader(): void {
    if (this.#context.node.status().phase === "removed") {
      for (const connection of this.#connections) connection.close("stopping", "this node was removed from its cluster");
      return;
    }
    for (const connection of this.#connections) connection.lookForNames();
    const now = leaderOf(this.#context);
    const before = this.#leader;
    if (now.leader === before.leader && now.term === before.term && now.leaderUrl === before.leaderUrl) return;
    this.#leader = now;
    for (const connection of this.#connections) connection.leaderChanged(now);
  }

  #pingAll(): void {
    for (const connection of this.#connections) connection.ping();
  }
}
