import {
  type HandedOut,
  type NewMessage,
  type Receipt,
  type Settlement,
  type TraceContext,
  limits,
  traceOfMessage,
  tracedMessages,
} from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import type { ClientSpan, ClientTracing, SpanAttributes } from "../tracing/tracing.ts";
import type { Produced } from "./producer.ts";

/** Spans of messages, named as OpenTelemetry's conventions for messaging name them (https://opentelemetry.io/docs/specs/semconv/messaging/). */
function attributesOf(queue: string, name: string, type: "send" | "receive" | "process" | "settle"): SpanAttributes {
  return {
    "messaging.system": "trivet",
    "messaging.destination.name": queue,
    "messaging.operation.name": name,
    "messaging.operation.type": type,
  };
}

/** Below what the caller does. */
export function sending(tracing: ClientTracing, queue: string, count: number): ClientSpan {
  const batch = count === 1 ? {} : { "messaging.batch.message_count": count };
  return tracing.begin("producer", `send ${queue}`, { ...attributesOf(queue, "produce", "send"), ...batch }, "caller");
}

/** They say by whose span they were made, so that those of its consumers can link to that. */
export function madeBy(
  { traces }: ClientSpan,
  messages: readonly NewMessage[],
  fits: (messages: readonly NewMessage[]) => boolean,
): readonly NewMessage[] {
  const [trace] = traces ?? [];
  return trace === undefined ? messages : tracedMessages(messages, trace, fits);
}

export function producedAs({ id, partition }: Produced): SpanAttributes {
  return { "messaging.message.id": id, "messaging.destination.partition.id": String(partition) };
}

/** Their number was known before. */
export function producedAll(): SpanAttributes {
  return {};
}

/** Of nobody: what is handed out is for whoever takes it from the consumer later. */
export function receiving(tracing: ClientTracing, queue: string, group: string, partition: number): ClientSpan {
  const attributes = {
    ...attributesOf(queue, "consume", "receive"),
    "messaging.consumer.group.name": group,
    "messaging.destination.partition.id": String(partition),
  };
  return tracing.begin("client", `receive ${queue}`, attributes, "none");
}

/** It is linked with those who made what was handed out. */
export function received(span: ClientSpan | null, error: unknown, answer: ShardAnswer | null): void {
  if (span === null) return;
  if (answer === null) return span.end({}, error);
  if (answer.type !== "handed-out") return span.end({ "trivet.outcome": answer.type }, null);
  for (const trace of makersOf(answer.messages)) span.link(trace);
  span.end({ "messaging.batch.message_count": answer.messages.length }, null);
}

function makersOf(messages: readonly HandedOut[]): readonly TraceContext[] {
  const makers = new Map<string, TraceContext>();
  for (const { headers } of messages) {
    const trace = traceOfMessage(headers);
    if (trace !== null && makers.size < limits.maxMessagesPerCommand) makers.set(`${trace.traceId}/${trace.spanId}`, trace);
  }
  return [...makers.values()];
}

interface Worked {
  readonly id: string;
  readonly partition: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** It goes on with the trace in which the message was made, and is linked with it, as the conventions want a link in any case. */
export function processing(tracing: ClientTracing, queue: string, group: string, { headers, id, partition }: Worked): ClientSpan {
  const maker = traceOfMessage(Object.entries(headers));
  const attributes = {
    ...attributesOf(queue, "process", "process"),
    "messaging.consumer.group.name": group,
    "messaging.message.id": id,
    "messaging.destination.partition.id": String(partition),
  };
  const span = tracing.begin("consumer", `process ${queue}`, attributes, maker ?? "none");
  if (maker !== null) span.link(maker);
  return span;
}

/** Below what the first of those does who settle in this turn. Null for leases that are prolonged: nobody asks for that. */
export function settling(tracing: ClientTracing, queue: string, group: string, settlement: Settlement): ClientSpan | null {
  if (settlement === "extend") return null;
  const attributes = { ...attributesOf(queue, settlement, "settle"), "messaging.consumer.group.name": group };
  return tracing.begin("client", `settle ${queue}`, attributes, "caller");
}

/** Somebody else settles with it. */
export function alsoSettled(span: ClientSpan, tracing: ClientTracing): void {
  const trace = tracing.current();
  if (trace !== null) span.link(trace);
}

export function settledAs(receipts: readonly Receipt[]): SpanAttributes {
  return { "messaging.batch.message_count": receipts.length };
}
