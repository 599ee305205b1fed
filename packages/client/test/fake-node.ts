import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Begun,
  type Hello,
  type HomeMessage,
  type QueueSettings,
  type Result,
  ResultsBuilder,
  type ServerFrame,
  type ShardCommands,
  type PlainClientFrame,
  type TraceContext,
  type WatchQueue,
  checkFrame,
  decodeClientFrame,
  encodeServerFrame,
  limits,
  streamProtocol,
  tracedStreamProtocol,
} from "@trivet/wire";
import { type WebSocket, WebSocketServer } from "ws";
import type { FakeCluster, FramePolicy } from "./fake-cluster.ts";

interface Answer {
  readonly sequence: number;
  readonly result: Result;
}

/** One pretended node: speaks the stream, keeps to its policies, remembers what it was sent. */
export class FakeNode {
  readonly name: string;
  url = "";
  /** Policies of the next frames of commands, used up one by one; then `answer`. */
  readonly policies: FramePolicy[] = [];
  /** Policy once `policies` is used up. */
  policy: FramePolicy = "answer";
  /** Policies of the next frames of shard commands, used up one by one; then `answer`. */
  readonly shardPolicies: FramePolicy[] = [];
  readonly shardFrames: ShardCommands[] = [];
  /** Every watch, in order. */
  readonly watches: WatchQueue[] = [];
  readonly begun: Begun[] = [];
  private readonly watching = new Map<WebSocket, WatchQueue[]>();
  /** What keepalives are answered with. */
  keepAlive: "answer" | "ignore" | "lose" = "answer";
  /** Connections are accepted, but nothing is ever said again: like a stopped process. */
  frozen = false;
  /** What holders say goes nowhere. */
  deaf = false;
  /** Bytes of the largest message that came, and invalidations that were asked for. */
  largest = 0;
  invalidations = 0;
  /** What it was asked to load, and how. */
  readonly loads: string[] = [];
  deafToLoads = false;
  /** What the welcome says. */
  protocol = streamProtocol;
  queueDefaults: Partial<QueueSettings> = {};
  /** Names of queues that it was asked to wait for. */
  awaited = 0;
  /** Status for new streams instead of a switch of protocols. */
  rejectWith = 0;
  /** Sent instead of a welcome. */
  greeting: ServerFrame | null = null;
  readonly hellos: Hello[] = [];
  /** Of every frame that had some, in order, and what it was. */
  readonly traced: { readonly type: PlainClientFrame["type"]; readonly traces: readonly TraceContext[] }[] = [];
  /** Every command frame, as it came. */
  readonly frames: Uint8Array[] = [];
  keepAlives = 0;
  pings = 0;
  private readonly cluster: FakeCluster;
  private readonly server: Server;
  private readonly streams: WebSocketServer;
  private readonly routes = new Map<string, WebSocket>();
  private stopped: Promise<void> | null = null;
  /** Answers made while one frame is executed, sent together. */
  private batch: Map<string, Answer[]> | null = null;

  private constructor(cluster: FakeCluster, name: string) {
    this.cluster = cluster;
    this.name = name;
    this.server = createServer((_, response) => response.writeHead(426).end());
    this.streams = new WebSocketServer({ noServer: true, perMessageDeflate: false, skipUTF8Validation: true });
    this.server.on("upgrade", (request, socket, head) => {
      if (this.rejectWith !== 0 || request.url !== "/v1/stream") {
        socket.end(`HTTP/1.1 ${this.rejectWith === 0 ? 404 : this.rejectWith} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      this.streams.handleUpgrade(request, socket, head, (stream) => this.accept(stream));
    });
  }

  static async start(cluster: FakeCluster, name: string): Promise<FakeNode> {
    const node = new FakeNode(cluster, name);
    await node.listen(0);
    return node;
  }

  get connections(): number {
    return this.streams.clients.size;
  }

  /** As `kill -9`: connections are cut, the port is closed. */
  stop(): Promise<void> {
    this.stopped ??= new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
      for (const stream of this.streams.clients) stream.terminate();
    });
    return this.stopped;
  }

  /** Starts again on the same port. */
  async restart(): Promise<void> {
    await this.stopped;
    this.stopped = null;
    await this.listen(Number(new URL(this.url).port));
  }

  cutConnections(): void {
    for (const stream of this.streams.clients) stream.terminate();
  }

  tellAll(frame: ServerFrame): void {
    for (const stream of this.streams.clients) this.say(stream, frame);
  }

  tellRaw(bytes: Uint8Array): void {
    for (const stream of this.streams.clients) stream.send(bytes);
  }

  answer(caller: string, sequence: number, result: Result): void {
    const answer = { sequence, result };
    if (this.batch === null) return this.sayAnswers(caller, [answer]);
    const answers = this.batch.get(caller);
    if (answers === undefined) this.batch.set(caller, [answer]);
    else answers.push(answer);
  }

  /** Tells who watches that something is ready. */
  hint(queue: number, partition: number): void {
    for (const [stream, watches] of this.watching) {
      for (const { group } of watches.filter((watch) => watch.queue === queue)) {
        this.say(stream, { type: "queue-ready", queue, partition, group });
      }
    }
  }

  private async listen(port: number): Promise<void> {
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private accept(stream: WebSocket): void {
    stream.on("message", (data: Buffer) => {
      if (!this.frozen) this.receive(stream, data);
    });
    stream.on("close", () => {
      this.watching.delete(stream);
      for (const [caller, route] of this.routes) if (route === stream) this.routes.delete(caller);
    });
  }

  private say(stream: WebSocket, frame: ServerFrame): void {
    if (!this.frozen && stream.readyState === stream.OPEN) stream.send(encodeServerFrame(frame));
  }

  private receive(stream: WebSocket, data: Uint8Array): void {
    this.largest = Math.max(this.largest, data.length);
    const frame = decodeClientFrame(data);
    if (frame.type !== "traced") return this.plain(stream, frame);
    if (this.protocol < tracedStreamProtocol) return stream.terminate();
    this.traced.push({ type: frame.frame.type, traces: frame.traces });
    return this.plain(stream, frame.frame);
  }

  private plain(stream: WebSocket, frame: PlainClientFrame): void {
    switch (frame.type) {
      case "hello":
        this.hellos.push(frame);
        return this.say(stream, this.greeting ?? this.welcome());
      case "commands":
        return this.commands(stream, Uint8Array.from(frame.frame));
      case "shard-commands":
        return this.shardCommands(stream, { ...frame, frame: Uint8Array.from(frame.frame) });
      case "resolve-queue":
        return this.say(stream, this.cluster.shards.resolve(frame));
      case "await-queue":
        this.awaited++;
        return this.cluster.shards.await(frame, (answer) => this.say(stream, answer));
      case "watch-queue": {
        this.watches.push(frame);
        const others = (this.watching.get(stream) ?? []).filter((one) => one.queue !== frame.queue || one.consumer !== frame.consumer);
        this.watching.set(stream, frame.on ? [...others, frame] : others);
        return;
      }
      case "consumer-begun":
        this.begun.push(frame.begun);
        return;
      case "to-homes":
        if (this.deaf) return;
        for (const { group, message } of frame.messages) {
          const say = (from: number, answer: HomeMessage): void =>
            this.say(stream, { type: "to-holders", messages: [{ group: from, message: answer }] });
          this.cluster.homes.receive(frame.program, say, group, message);
        }
        return;
      case "resolve-namespace":
        return this.say(stream, this.cluster.homes.resolve(frame.request, frame.name));
      case "load-cached": {
        const { how, key, request } = frame;
        if (how === "claim") {
          const told = (refusal: "none" | "yours"): void => this.say(stream, { type: "cache-loaded", request, refusal, detail: "" });
          return this.cluster.homes.claim(key, `${this.name} ${request}`, told);
        }
        if (how === "release") return this.cluster.homes.release(key, `${this.name} ${request}`);
        this.loads.push(`${frame.key}: ${frame.how}`);
        if (this.deafToLoads) return;
        void this.cluster.homes.load(frame).then((refusal) => this.say(stream, { type: "cache-loaded", request, refusal, detail: "" }));
        return;
      }
      case "invalidate-cache": {
        this.invalidations++;
        const namespace = this.cluster.homes.namespaces.get(frame.name)?.namespace ?? 0;
        const { request } = frame;
        void this.cluster.homes
          .invalidate(namespace)
          .then(() =>
            this.say(stream, { type: "cache-invalidated", request, shards: this.cluster.homes.shards, refusal: "none", detail: "" }),
          );
        return;
      }
      case "ping":
        this.pings++;
        return this.say(stream, { type: "pong", nonce: frame.nonce, groupTime: this.cluster.groupTime() });
      case "keep-alive": {
        this.keepAlives++;
        if (this.keepAlive === "ignore") return;
        const known = (session: number): boolean => this.keepAlive === "answer" && this.cluster.sessions.has(session);
        return this.say(stream, {
          type: "keep-alive-answer",
          batch: frame.batch,
          groupTime: this.cluster.groupTime(),
          alive: frame.sessions.filter(known),
          lost: frame.sessions.filter((session) => !known(session)),
        });
      }
    }
  }

  private welcome(): ServerFrame {
    const { leader, term } = this.cluster;
    return {
      type: "welcome",
      protocol: this.protocol,
      cluster: "pretended",
      node: this.name,
      leader: leader?.name ?? "",
      leaderUrl: leader?.url ?? "",
      term,
      groupTime: this.cluster.groupTime(),
      callerWindow: limits.callerWindow,
      maxFrameBytes: limits.maxFrameBytes,
      queueDefaults: this.queueDefaults,
      maxCommandsPerFrame: limits.maxCommandsPerFrame,
    };
  }

  private commands(stream: WebSocket, frame: Uint8Array): void {
    const { caller, firstSequence, count } = checkFrame(frame);
    this.frames.push(frame);
    this.routes.set(caller, stream);
    const own = this.policies.shift() ?? this.policy;
    const policy = own === "answer" ? this.cluster.chooseTrouble(this) : own;
    if (policy === "ignore") return;
    if (policy === "drop-unread") return stream.terminate();
    if (typeof policy === "object") {
      return this.say(stream, {
        type: "refused",
        caller,
        firstSequence,
        count,
        code: policy.refuse,
        retryAfterMs: policy.retryAfterMs ?? 20,
        detail: "",
      });
    }
    this.batch = new Map();
    this.cluster.apply(frame);
    const { batch } = this;
    this.batch = null;
    if (policy === "drop-unanswered") return stream.terminate();
    if (policy === "swallow") return;
    for (let times = policy === "answer-twice" ? 2 : 1; times > 0; times--) {
      for (const [caller, answers] of batch) this.sayAnswers(caller, answers);
    }
  }

  private shardCommands(stream: WebSocket, given: ShardCommands): void {
    const { group, frame } = given;
    const { caller, firstSequence, count } = checkFrame(frame);
    this.shardFrames.push(given);
    const policy = this.shardPolicies.shift() ?? this.cluster.chooseShardTrouble(this);
    if (policy === "ignore") return;
    if (policy === "drop-unread") return stream.terminate();
    if (typeof policy === "object") {
      const { refuse: code, retryAfterMs = 20 } = policy;
      return this.say(stream, { type: "shard-refused", group, caller, firstSequence, count, code, retryAfterMs, detail: "" });
    }
    const results = this.cluster.shards.apply(group, frame);
    if (policy === "drop-unanswered") return stream.terminate();
    if (policy === "swallow") return;
    for (let times = policy === "answer-twice" ? 2 : 1; times > 0; times--)
      this.say(stream, { type: "shard-results", group, caller, results });
  }

  private sayAnswers(caller: string, answers: readonly Answer[]): void {
    const stream = this.routes.get(caller);
    if (stream === undefined || this.frozen) return;
    const builder = new ResultsBuilder();
    builder.begin(caller);
    for (const { sequence, result } of answers) builder.add(sequence, result);
    stream.send(builder.finish());
  }
}
