import type { Unavailable } from "@trivet/engine";
import {
  CodecError,
  formerShardCommandNumbers,
  FrameCursor,
  type FrameHeader,
  handedOutBy,
  shardCommandNumbers,
  type TraceContext,
} from "@trivet/wire";
import type { Tracing } from "../../observability/tracing.ts";
import { type ShardSink, StreamShardRoute } from "./stream-shard-route.ts";
import { OpenFrames } from "./stream-spans.ts";

/** Of OpenTelemetry's messaging conventions, by what the commands of queues are called here. */
const operations = { produce: "send", consume: "receive", settle: "settle" } as const;
type Operation = keyof typeof operations;
const operationOf = new Map<number, Operation>([
  [shardCommandNumbers.produce, "produce"],
  [shardCommandNumbers.consume, "consume"],
  [shardCommandNumbers.settle, "settle"],
  [formerShardCommandNumbers.settle, "settle"],
]);

/** What all commands of a frame do; null = different things, or others than with messages. */
function commonOperation(cursor: FrameCursor, frame: Uint8Array): Operation | null {
  let common: Operation | null = null;
  cursor.open(frame);
  for (let isFirst = true; cursor.next(); isFirst = false) {
    const operation = operationOf.get(cursor.command.u8()) ?? null;
    if (operation === null || (!isFirst && operation !== common)) return null;
    common = operation;
  }
  return common;
}

/** Messages that a frame names, those that it produces and those that it settles; null = it says what apply will refuse. */
function messagesIn(cursor: FrameCursor, frame: Uint8Array): number | null {
  let messages = 0;
  cursor.open(frame);
  try {
    while (cursor.next()) {
      if (!operationOf.has(cursor.command.u8())) continue;
      cursor.command.position--;
      const command = cursor.decodeShard();
      if (command.type === "produce") messages += command.messages.length;
      if (command.type === "settle") messages += command.receipts.length;
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return null;
  }
  return messages;
}

/** A shard's route on a node that traces: each frame is a span, whatever it carries, and says how much that is. No key, no name, no group of a queue. */
export class TracedShardRoute extends StreamShardRoute {
  private readonly tracing: Tracing;
  private readonly frames = new OpenFrames();
  private readonly cursor = new FrameCursor();

  constructor(group: number, caller: string, connection: ShardSink, tracing: Tracing) {
    super(group, caller, connection);
    this.tracing = tracing;
  }

  /** Gives the frame to the shard, as what belongs to its span. */
  submit(frame: Uint8Array, header: FrameHeader, traces: readonly TraceContext[], submit: () => Unavailable | null): Unavailable | null {
    const { tracing } = this;
    if (!tracing.isOn) return submit();
    const operation = commonOperation(this.cursor, frame);
    const traced = tracing.frame(`stream ${operation ?? "messages"}`, { "messaging.system": "trivet", "trivet.group": this.group }, traces);
    // What costs more to find out is found out for those alone who keep it.
    if (traced.span.isRecording()) {
      this.frames.add(header, traced);
      const messages = messagesIn(this.cursor, frame);
      traced.span.setAttributes({
        "trivet.commands": header.count,
        ...(operation === null ? {} : { "messaging.operation.name": operation, "messaging.operation.type": operations[operation] }),
        ...(messages === null || messages === 0 ? {} : { "messaging.batch.message_count": messages }),
      });
    }
    return tracing.within(traced, submit);
  }

  override answer(sequence: number, bytes: Uint8Array): void {
    super.answer(sequence, bytes);
    this.frames.answered(sequence, 1, "answered", null, handedOutBy(bytes));
  }

  override refused(firstSequence: number, count: number, reason: Unavailable): void {
    super.refused(firstSequence, count, reason);
    this.frames.answered(firstSequence, count, "unavailable", reason.code);
  }

  ends(): void {
    this.frames.end();
  }
}

/** Without tracing nothing of this file is used but this. */
export const shardRouteOf = (group: number, caller: string, connection: ShardSink, tracing: Tracing | null): StreamShardRoute =>
  tracing === null ? new StreamShardRoute(group, caller, connection) : new TracedShardRoute(group, caller, connection, tracing);
