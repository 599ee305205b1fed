import { randomBytes } from "node:crypto";
import {
  type Command,
  type LaneFrame,
  type QueueSettings,
  type Result,
  ResultsCursor,
  type ServerFrame,
  type ShardCommand,
  ShardResultsCursor,
  type Welcome,
  begunStreamProtocol,
  cacheStreamProtocol,
  claimsStreamProtocol,
  decodeServerFrame,
  decodeShardAnswer,
  encodeCommandsFrame,
  encodeShardCommandsFrame,
  encodeTracedFrame,
  nodeCopiesStreamProtocol,
  orderedStreamProtocol,
  packedStreamProtocol,
  queueStreamProtocol,
  serverFrameNumbers,
  streamProtocol,
  tracedStreamProtocol,
  withoutOrder,
} from "@trivet/wire";
import { type Asker, type AnsweredBy, fail } from "./answered.ts";
import { TrivetError } from "./errors.ts";
import { GroupCommands, type GroupLink } from "./group-commands.ts";
import type { LinkFailure } from "./link.ts";
import { OpenTurns } from "./open-turns.ts";
import { type Settings } from "./options.ts";
import { Router } from "./router.ts";
import type { Traces } from "./tracing/tracing.ts";
import { Turns } from "./turns.ts";

export type Answered = AnsweredBy<Result>;
/** What a shard says to a command. */
export type ShardAnswer = ReturnType<typeof decodeShardAnswer>;

/** A command that has no more time than this does not wait for others. */
const hurriedMs = 50;

export interface StreamHandlers {
  /** The first greeting, or another after a change of node. */
  connected(): void;
  disconnected(reason: string): void;
  /** Another node was found and this one, which still answers, is about to be left. */
  leaving(): void;
  rejected(failure: LinkFailure): void;
  /** Frames that are not about commands. */
  frame(frame: ServerFrame): void;
  /** Something besides commands awaits an answer. */
  isWaiting(): boolean;
}

/** The commands of one connection, to group 0 and to shards, gathered per turn; and the link of the moment that they travel over. */
export class CommandStream {
  private readonly settings: Settings;
  private readonly handlers: StreamHandlers;
  private readonly system: GroupCommands<Command, Result>;
  private readonly shards = new Map<number, GroupCommands<ShardCommand, ShardAnswer>>();
  private readonly router: Router;
  private readonly results = new ResultsCursor();
  private readonly shardResults = new ShardResultsCursor();
  private readonly turns = new Turns(() => this.flush());
  private readonly open = new OpenTurns();
  /** Run before the frames of a turn are closed: what they submit is of that turn. */
  private atEnd: (() => void)[] = [];
  /** Group time minus monotonic time. */
  groupOffset = 0;
  private isClosed = false;

  constructor(nodes: readonly string[], settings: Settings, handlers: StreamHandlers, session: () => number) {
    this.settings = settings;
    this.handlers = handlers;
    this.system = new GroupCommands<Command, Result>(0, this.linkOf(1, encodeCommandsFrame));
    const instance = newCaller();
    this.router = new Router(
      nodes,
      settings,
      () => ({ type: "hello", protocol: streamProtocol, caller: instance, label: settings.label, session: session() }),
      {
        connected: (welcome) => this.connected(welcome),
        message: (bytes) => this.message(bytes),
        disconnected: (reason) => handlers.disconnected(reason),
        leaving: () => handlers.leaving(),
        rejected: (failure) => handlers.rejected(failure),
        isWaiting: () => this.openCount > 0 || handlers.isWaiting(),
      },
    );
  }

  start(): void {
    this.router.start();
  }

  get isConnected(): boolean {
    return this.router.isConnected;
  }
  /** The node of the moment speaks of queues; true also while there is none. */
  get knowsQueues(): boolean {
    return !this.router.isConnected || this.router.protocol >= queueStreamProtocol;
  }
  /** It speaks of cached values; true also while there is none. */
  get knowsCache(): boolean {
    return !this.router.isConnected || this.router.protocol >= cacheStreamProtocol;
  }

  /** The node answers from its own copies who keeps none; true while there is none. */
  get tellsCopies(): boolean {
    return !this.router.isConnected || this.router.protocol >= nodeCopiesStreamProtocol;
  }
  /** The node keeps loaders of programs apart; false while there is none: nobody waits to ask. */
  get claimsLoads(): boolean {
    return this.router.isConnected && this.router.protocol >= claimsStreamProtocol;
  }
  /** The node of the moment takes word of what consumers have begun. */
  get takesBegun(): boolean {
    return this.router.isConnected && this.router.protocol >= begunStreamProtocol;
  }
  /** The node loads values from origins for programs; true while there is none. */
  get loadsCache(): boolean {
    return !this.router.isConnected || this.router.protocol >= packedStreamProtocol;
  }
  /** What the node of the moment, or else of before, gives a new queue where its maker says nothing. */
  queueDefaults: Partial<QueueSettings> = {};
  /** URL of the node in use. */
  get node(): string | null {
    return this.router.node;
  }
  /** Commands without an answer. */
  get openCount(): number {
    let open = this.system.openCount;
    for (const shard of this.shards.values()) open += shard.openCount;
    return open;
  }
  describeFailures(): string {
    return this.router.describeFailures();
  }

  /** Caller of the command submitted last to group 0. */
  get caller(): string {
    return this.system.caller;
  }

  /** Sends a command with the others of this turn. Returns its sequence, or 0 when it failed at once (`done` is told in a later turn). */
  submit(command: Command, timeoutMs: number, done: Asker<Result>, traces: Traces = null): number {
    return this.isClosed ? this.failClosed(done) : this.system.submit(command, this.turns.begin(), timeoutMs, done, traces);
  }

  /** The same, to a shard. */
  submitTo(group: number, command: ShardCommand, timeoutMs: number, done: Asker<ShardAnswer>, traces: Traces = null): number {
    if (this.isClosed) return this.failClosed(done);
    let shard = this.shards.get(group);
    if (shard === undefined) {
      const link = this.linkOf(queueStreamProtocol, (frame) => encodeShardCommandsFrame(group, frame));
      this.shards.set(group, (shard = new GroupCommands<ShardCommand, ShardAnswer>(group, link)));
    }
    // What is due soon does not wait for others: its frame is withdrawn as a whole when it is late.
    const beganAt = timeoutMs > hurriedMs ? this.turns.gather(this.open) : this.turns.begin();
    return shard.submit(command, beganAt, timeoutMs, done, traces);
  }

  /** Runs `task` when this turn ends, before its frames are closed. */
  atTurnEnd(task: () => void): void {
    this.turns.begin();
    this.atEnd.push(task);
  }

  /** The same, for what is in no hurry while turns of shards are under way: more of it then shares a frame. */
  atGatheredEnd(task: () => void): void {
    this.turns.gather(this.open);
    this.atEnd.push(task);
  }

  /** Ends the turn early: what was submitted so far goes out before what is submitted next. */
  flush(): void {
    // What these submit is of this turn, so no other is scheduled for it.
    for (let tasks = this.atEnd; tasks.length > 0; tasks = this.atEnd) {
      this.atEnd = [];
      for (const task of tasks) task();
    }
    this.turns.ended();
    this.system.collect();
    const frames: LaneFrame[] = [];
    for (const shard of this.shards.values()) shard.collect(frames);
    this.open.sent(frames, performance.now());
  }

  /** A frame under the traces that it belongs to, where the node of the moment reads them. */
  under(traces: Traces, message: Uint8Array): Uint8Array {
    return traces === null || this.router.protocol < tracedStreamProtocol ? message : encodeTracedFrame(traces, message);
  }

  /** Sends something that is not a command. `isUrgent`: it has left when this returns. False while there is no link. */
  send(message: Uint8Array, isUrgent = false): boolean {
    return this.router.send(message, isUrgent);
  }

  /** Ends the link at once. What has no answer yet fails. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.router.close();
    this.system.close();
    for (const shard of this.shards.values()) shard.close();
  }

  private failClosed<R>(done: Asker<R>): number {
    fail(done, new TrivetError("closed", "The connection is closed"));
    return 0;
  }

  private linkOf(protocol: number, encode: (frame: Uint8Array) => Uint8Array): GroupLink {
    const takes = (): boolean => this.router.isConnected && this.router.protocol >= protocol;
    const isClosed = (): boolean => this.isClosed;
    const offset = (): number => this.groupOffset;
    const readable = (frame: Uint8Array): Uint8Array => (this.router.protocol >= orderedStreamProtocol ? frame : withoutOrder(frame));
    return {
      get isClosed() {
        return isClosed();
      },
      get isConnected() {
        return takes();
      },
      get groupOffset() {
        return offset();
      },
      send: (frame, traces) => void this.router.send(this.under(traces, encode(readable(frame)))),
      newCaller,
      describeFailures: () => this.router.describeFailures(),
    };
  }

  private connected({ groupTime, queueDefaults }: Welcome): void {
    this.queueDefaults = queueDefaults;
    this.learnGroupTime(groupTime);
    this.system.resend();
    if (this.knowsQueues) for (const shard of this.shards.values()) shard.resend();
    this.handlers.connected();
  }

  /** Later than the stamp by the way here: so deadlines come rather early than late. */
  private learnGroupTime(groupTime: number): void {
    this.groupOffset = groupTime - performance.now();
  }

  private message(bytes: Uint8Array): void {
    if (bytes[0] === serverFrameNumbers.results) return this.answers(bytes);
    if (bytes[0] === serverFrameNumbers["shard-results"]) return this.shardAnswers(bytes);
    const frame = decodeServerFrame(bytes);
    switch (frame.type) {
      case "refused":
        return this.system.refused(frame);
      case "shard-refused":
        return this.shards.get(frame.group)?.refused(frame);
      case "leader-changed":
        return this.router.leaderIsAt(frame.leaderUrl, frame.term);
      case "closing":
        return this.router.leave(`${frame.code}: ${frame.detail}`);
      case "pong":
        return this.learnGroupTime(frame.groupTime);
      case "keep-alive-answer":
        this.learnGroupTime(frame.groupTime);
        return this.handlers.frame(frame);
      case "welcome":
      case "results":
      case "shard-results":
      case "session-event":
      case "queue-resolved":
      case "queue-ready":
      case "to-holders":
      case "namespace-resolved":
      case "cache-invalidated":
      case "cache-loaded":
        return this.handlers.frame(frame);
    }
  }

  private answers(bytes: Uint8Array): void {
    const { results, system } = this;
    results.open(bytes);
    const { caller } = results;
    for (let result = results.next(); result !== null; result = results.next()) system.answered(caller, results.sequence, result);
  }

  private shardAnswers(bytes: Uint8Array): void {
    const { shardResults: results } = this;
    results.open(bytes);
    const { caller } = results;
    const shard = this.shards.get(results.group);
    if (shard === undefined) return;
    while (results.next()) {
      // Hand-outs are large: what is known already is not decoded again.
      if (shard.isOpen(caller, results.sequence)) shard.answered(caller, results.sequence, decodeShardAnswer(results.bytes));
    }
    const now = performance.now();
    this.open.answered(now);
    if (this.turns.isGathering && !this.open.isBusy(now)) this.turns.begin();
  }
}

/** 128 random bits. */
function newCaller(): string {
  return randomBytes(16).toString("base64url");
}
