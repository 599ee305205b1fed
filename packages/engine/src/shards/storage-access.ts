import {
  type Begun,
  ByteWriter,
  checkFrame,
  CodecError,
  encodeResult,
  encodeShardResult,
  FrameCursor,
  type FrameHeader,
  isCacheCommand,
  type Produce,
  type Result,
  type ShardCommand,
  type ShardResult,
} from "@trivet/wire";
import { maxOutboxBytes } from "../base/limits.ts";
import type { CallerRoute, Unavailable } from "../node/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { QueueStorage, StorageCommand, StorageOutcome } from "../ports/queue-storage.ts";
import type { QueueDirectory } from "../queues/queue-directory.ts";
import { proposeConsumerGone } from "./consumer-gone.ts";
import type { ShardAccess } from "./shard-access.ts";

type Answer = ShardResult | Extract<Result, { readonly type: "malformed" | "refused" }>;
type Route = CallerRoute<Uint8Array>;
/** Which queues there are, as the log says. */
type Definitions = Pick<QueueDirectory, "byNumber" | "refresh">;

/** One frame until each of its commands has its outcome. */
interface OpenFrame {
  readonly header: FrameHeader;
  readonly bytes: number;
  readonly retries: { readonly sequence: number; readonly command: StorageCommand; readonly reason: Unavailable }[];
  /** Commands whose outcome has not come. */
  open: number;
  /** Something of the frame may have taken effect: it cannot be refused as a whole any more. */
  touched: boolean;
}

/** All partitions share one group, so that a turn of a client is one frame. */
const shards = 1;
const shortestRetryMs = 20;
/** Who sent a command has given it up by itself so long after its deadline. */
const givenUpMs = 1_000;
const tooLate: Answer = { type: "refused", reason: "past-deadline" };

/**
 * A storage without Raft groups, behind the terms of one: a frame's commands are executed one by one, with (caller, sequence) as idempotency key, so
 * that the same frame again changes nothing (rule X1).
 */
export class StorageAccess implements ShardAccess {
  private readonly storage: QueueStorage;
  private readonly clock: Clock;
  private readonly groupTime: () => number;
  private readonly definitions: Definitions;
  private readonly routes = new Map<string, Route>();
  private readonly cursor = new FrameCursor();
  private readonly writer = new ByteWriter(256);
  private readonly answered = new Set<Route>();
  private bytes = 0;

  constructor(storage: QueueStorage, clock: Clock, groupTime: () => number, definitions: Definitions) {
    this.storage = storage;
    this.clock = clock;
    this.groupTime = groupTime;
    this.definitions = definitions;
  }

  spread(): { readonly backend: QueueStorage["backend"]; readonly shards: number } {
    return { backend: this.storage.backend, shards };
  }

  route(_group: number, caller: string, route: Route): void {
    this.routes.set(caller, route);
  }

  endRoute(_group: number, caller: string, route: Route): void {
    if (this.routes.get(caller) === route) this.routes.delete(caller);
  }

  submitFrame(_group: number, frame: Uint8Array): Unavailable | null {
    const header = checkFrame(frame);
    if (this.bytes + frame.length > maxOutboxBytes) {
      return { type: "unavailable", code: "overloaded", retryAfterMs: 100, detail: "too many unanswered commands on this node" };
    }
    this.bytes += frame.length;
    const open: OpenFrame = { header, bytes: frame.length, retries: [], open: header.count, touched: false };
    const { cursor } = this;
    cursor.open(frame);
    const commands: { readonly sequence: number; readonly command: ShardCommand | string }[] = [];
    while (cursor.next()) commands.push({ sequence: cursor.sequence, command: decoded(cursor) });
    for (const { sequence, command } of commands) {
      if (typeof command === "string") this.answerLater(open, sequence, { type: "malformed", detail: command });
      else if (!isForCallers(command))
        this.answerLater(open, sequence, { type: "malformed", detail: `${command.type} is for shards only` });
      else this.execute(open, sequence, command);
    }
    return null;
  }

  watchReady(listener: Parameters<ShardAccess["watchReady"]>[0]): () => void {
    return this.storage.watchReady(listener);
  }

  consumerGone(queue: number, partitions: number, consumer: string, begun: Begun | null): void {
    proposeConsumerGone(this.storage, shards, partitions, { type: "consumer-gone", queue, consumer, begun });
  }

  /** `isSure`: this node was as far as the others when it was asked. */
  private execute(frame: OpenFrame, sequence: number, command: StorageCommand, isSure = false): void {
    const { caller, notAfter } = frame.header;
    const timeoutMs = notAfter - this.groupTime();
    if (timeoutMs <= 0) {
      if (command.type === "produce") this.late(frame, sequence, command);
      else this.answerLater(frame, sequence, tooLate, Math.max(0, timeoutMs + givenUpMs));
      return;
    }
    const idempotency = { key: keyOf(caller, sequence), fingerprint: "" };
    this.storage.submit(placeOf(command), command, { timeoutMs, idempotency }, (outcome) => {
      const isUnheard = outcome.type === "answered" && outcome.result.type === "not-configured" && !isSure;
      if (isUnheard) this.makeSure(frame, sequence, command, timeoutMs, outcome);
      else this.ended(frame, sequence, command, outcome);
    });
  }

  /**
   * This node has not heard of the queue, another may have, and have executed the command already: a client that is told that nothing was stored stores it
   * again, under another name (rule X1). Once the log says that there is no such queue, nothing is left of it.
   */
  private makeSure(frame: OpenFrame, sequence: number, command: StorageCommand, timeoutMs: number, outcome: StorageOutcome): void {
    this.definitions.refresh(timeoutMs, (fresh) => {
      if (fresh.type !== "ready") return this.ended(frame, sequence, command, fresh);
      const { queue } = placeOf(command);
      const known = this.definitions.byNumber(queue);
      if (known === null) return this.ended(frame, sequence, command, outcome);
      this.storage.configure(queue, known.definition);
      return this.execute(frame, sequence, command, true);
    });
  }

  /**
   * It may have been executed when it came through another node, whose clock is behind: an ordered producer, which ends its questions with what it is told here, would
   * take a stored message for one that is not. So the answer that is kept is given. Without one it may still be on its way, until who sent it has given it up.
   */
  private late(frame: OpenFrame, sequence: number, command: Produce): void {
    frame.touched = true;
    const look = (otherwise: () => void): void => this.lookForKept(frame, sequence, command, otherwise);
    look(() => void this.clock.schedule(givenUpMs, () => look(() => this.told(frame, sequence, tooLate))));
  }

  private lookForKept(frame: OpenFrame, sequence: number, command: Produce, otherwise: () => void): void {
    const { partition, queue } = command;
    const ask = (): void => {
      const known = this.definitions.byNumber(queue);
      // Of a queue that is gone for good nothing is left.
      if (known === null || this.storage.kept === undefined) return otherwise();
      this.storage.configure(queue, known.definition);
      this.storage.kept({ queue, partition }, keyOf(frame.header.caller, sequence), givenUpMs, (kept) => {
        if (kept.type === "shard-answered" && kept.answer.type !== "handed-out") return this.told(frame, sequence, kept.answer);
        // Nobody knows, so nothing is said: the next sending finds out.
        if (kept.type === "unavailable") return this.told(frame, sequence, null);
        return otherwise();
      });
    };
    if (this.definitions.byNumber(queue) !== null) return ask();
    // This node may not have heard of it.
    this.definitions.refresh(givenUpMs, (fresh) => (fresh.type === "ready" ? ask() : this.told(frame, sequence, null)));
  }

  private ended(frame: OpenFrame, sequence: number, command: StorageCommand, outcome: StorageOutcome): void {
    // Of one whose fate is unknown nothing is said: the client's own deadline says so, or its next sending finds out.
    if (outcome.type !== "unavailable") return this.told(frame, sequence, outcome.type === "answered" ? outcome.result : null);
    frame.retries.push({ sequence, command, reason: outcome });
    this.countDown(frame);
  }

  /** Null: its fate is unknown. */
  private told(frame: OpenFrame, sequence: number, answer: Answer | null): void {
    frame.touched = true;
    if (answer !== null) this.answer(frame, sequence, answer);
    this.countDown(frame);
  }

  private answerLater(frame: OpenFrame, sequence: number, answer: Answer, afterMs = 0): void {
    const told = (): void => this.told(frame, sequence, answer);
    if (afterMs > 0) this.clock.schedule(afterMs, told);
    else this.clock.defer(told);
  }

  private countDown(frame: OpenFrame): void {
    frame.open -= 1;
    if (frame.open > 0) return;
    const [first] = frame.retries;
    if (first === undefined) {
      this.bytes -= frame.bytes;
      return;
    }
    const { caller, firstSequence, count } = frame.header;
    const route = this.routes.get(caller);
    if (!frame.touched || route === undefined) {
      this.bytes -= frame.bytes;
      route?.refused(firstSequence, count, first.reason);
      return;
    }
    // Some of it has its answer, so the frame cannot be refused. Nothing happened to these: once more, until it is too late for them.
    this.clock.schedule(Math.max(shortestRetryMs, first.reason.retryAfterMs), () => {
      const again = frame.retries.splice(0);
      frame.open = again.length;
      for (const { sequence, command } of again) this.execute(frame, sequence, command);
    });
  }

  private answer(frame: OpenFrame, sequence: number, answer: Answer): void {
    const route = this.routes.get(frame.header.caller);
    if (route === undefined) return;
    this.writer.reset();
    if (answer.type === "malformed" || answer.type === "refused") encodeResult(this.writer, answer);
    else encodeShardResult(this.writer, answer);
    route.answer(sequence, this.writer.finish());
    if (this.answered.size === 0) this.clock.defer(() => this.flush());
    this.answered.add(route);
  }

  /** What was answered in one turn leaves as one message. */
  private flush(): void {
    for (const route of this.answered) route.flush();
    this.answered.clear();
  }
}

function keyOf(caller: string, sequence: number): string {
  return `${caller}/${sequence}`;
}

function decoded(cursor: FrameCursor): ShardCommand | string {
  try {
    return cursor.decodeShard();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return error.message;
  }
}

function isForCallers(command: ShardCommand): command is StorageCommand {
  // Cached values are written through their home alone, which withdraws the copies first (rule M3).
  if (isCacheCommand(command)) return false;
  return !["configure-queue", "drop-queue", "expire-leases", "adopt-rules", "fence-floor"].includes(command.type);
}

function placeOf(command: StorageCommand): { readonly queue: number; readonly partition: number } {
  switch (command.type) {
    case "settle":
      return { queue: command.queue, partition: command.receipts[0]?.partition ?? 0 };
    case "consumer-gone":
      return { queue: command.queue, partition: 0 };
    case "raise-fence":
      return { queue: 0, partition: 0 };
    default:
      return { queue: command.queue, partition: command.partition };
  }
}
