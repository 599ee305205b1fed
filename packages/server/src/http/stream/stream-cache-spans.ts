import type { HomeMessage, ToHomes, TraceContext } from "@trivet/wire";
import { endSpan, type Traced, type Tracing } from "../../observability/tracing.ts";

interface OpenCalls {
  readonly traced: Traced;
  readonly at: number;
  left: number;
}
/** Reads and writes of one stream that belong to a span; of more the oldest one's span ends. */
const maxOpenCalls = 4_096;
/** Nobody waits for an answer so long. */
const longestMs = 60_000;

/** Spans of what a program asks of homes: one for each frame that asks for something, until all of that is answered. What holders only acknowledge has none. */
export class StreamCacheSpans {
  private readonly tracing: Tracing;
  private readonly now: () => number;
  /** In the order in which they were asked: those of one frame stand together. */
  private readonly open = new Map<string, OpenCalls>();

  constructor(tracing: Tracing, now: () => number = () => performance.now()) {
    this.tracing = tracing;
    this.now = now;
  }

  /** Passes the messages on, as what belongs to their span. */
  pass(messages: ToHomes["messages"], traces: readonly TraceContext[], pass: () => void): void {
    if (!this.tracing.isOn) return pass();
    const now = this.now();
    for (const { at } of this.open.values()) {
      if (now - at < longestMs) break;
      this.endOldest();
    }
    let [reads, writes] = [0, 0];
    const calls: string[] = [];
    for (const { group, message } of messages) {
      if (message.type !== "fetch" && message.type !== "read" && message.type !== "write") continue;
      const call = nameOf(group, message.txn);
      // Asked again, for want of an answer.
      if (this.open.has(call)) continue;
      calls.push(call);
      if (message.type === "write") writes++;
      else reads++;
    }
    if (calls.length === 0) return pass();
    const traced = this.tracing.frame("stream cache", { "trivet.reads": reads, "trivet.writes": writes }, traces);
    if (traced.span.isRecording()) {
      const opened = { traced, at: now, left: calls.length };
      for (const call of calls) this.open.set(call, opened);
      while (this.open.size > maxOpenCalls) this.endOldest();
    }
    this.tracing.within(traced, pass);
  }

  told(group: number, message: HomeMessage): void {
    if (this.open.size === 0 || (message.type !== "data" && message.type !== "done")) return;
    const call = nameOf(group, message.txn);
    const opened = this.open.get(call);
    if (opened === undefined) return;
    this.open.delete(call);
    opened.left--;
    if (opened.left === 0) endSpan(opened.traced, { "trivet.outcome": "answered" }, null);
  }

  /** Asks something else than a home, as what belongs to a span of its own, until `ask` says its outcome; `fault` = it failed. */
  ask(name: string, traces: readonly TraceContext[], ask: (ended: (outcome: string, fault: string | null) => void) => void): void {
    if (!this.tracing.isOn) return ask(() => undefined);
    const traced = this.tracing.frame(name, {}, traces);
    this.tracing.within(traced, () => ask((outcome, fault) => endSpan(traced, { "trivet.outcome": outcome }, fault)));
  }

  /** The stream is gone: whoever waits asks again elsewhere. */
  closed(): void {
    for (const { traced } of new Set(this.open.values())) endSpan(traced, { "trivet.outcome": "disconnected" }, null);
    this.open.clear();
  }

  private endOldest(): void {
    const [oldest] = this.open.values();
    for (const [call, opened] of this.open) {
      if (opened !== oldest) break;
      this.open.delete(call);
    }
    if (oldest !== undefined) endSpan(oldest.traced, { "trivet.outcome": "unknown" }, null);
  }
}

const nameOf = (group: number, txn: number): string => `${group}/${txn}`;
