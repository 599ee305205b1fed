import type { LogIndex } from "@trivet/core";
import { readFrameHeader } from "@trivet/wire";
import type { OpenSpan } from "../ports/spans.ts";
import type { Traces } from "../base/traces.ts";

/** Frames in a leader's hands that have a span; further ones have none. */
const maxOpen = 1024;

interface Proposed {
  readonly index: number;
  readonly span: OpenSpan;
  isHanded: boolean;
}

/**
 * A span for each frame of a trace that a leader takes into its log: until it has applied it, with the times at which it was proposed and at which it was
 * committed and durable, and so given to apply.
 */
export class LogSpans {
  private readonly group: number;
  private readonly traces: Traces;
  /** Of frames that wait for an entry. */
  private readonly waiting = new Map<Uint8Array, OpenSpan>();
  /** In the order of the log. */
  private readonly proposed: Proposed[] = [];

  constructor(group: number, traces: Traces) {
    this.group = group;
    this.traces = traces;
  }

  taken(frame: Uint8Array): void {
    const { traces } = this;
    if (!traces.isOn || this.waiting.size + this.proposed.length >= maxOpen || this.waiting.has(frame)) return;
    const parent = traces.of(frame);
    if (parent === null) return;
    const { count } = readFrameHeader(frame);
    const span = traces.spans.begin("log.commit", parent, { "trivet.group": this.group, "trivet.commands": count });
    if (span !== null) this.waiting.set(frame, span);
  }

  /** These became the entries that end with `last`. */
  entered(entries: readonly (readonly Uint8Array[])[], last: LogIndex): void {
    if (this.waiting.size === 0) return;
    for (const [place, frames] of entries.entries()) {
      const index = last - entries.length + 1 + place;
      for (const frame of frames) {
        const span = this.waiting.get(frame);
        if (span === undefined) continue;
        this.waiting.delete(frame);
        span.event("proposed", { "trivet.index": index, "trivet.frames": frames.length });
        this.proposed.push({ index, span, isHanded: false });
      }
    }
  }

  /** Everything up to here is committed, durable here, and with apply. */
  handed(index: LogIndex): void {
    for (const proposed of this.proposed) {
      if (proposed.index > index) return;
      if (!proposed.isHanded) proposed.span.event("committed", {});
      proposed.isHanded = true;
    }
  }

  applied(index: LogIndex): void {
    for (let first = this.proposed[0]; first !== undefined && first.index <= index; first = this.proposed[0]) {
      this.proposed.shift();
      first.span.end({ "trivet.outcome": "applied" }, null);
    }
  }

  /** Whether they will ever be committed is not this node's to say. */
  deposed(): void {
    for (const span of this.waiting.values()) span.end({ "trivet.outcome": "deposed" }, "deposed");
    for (const { span } of this.proposed) span.end({ "trivet.outcome": "deposed" }, "deposed");
    this.waiting.clear();
    this.proposed.length = 0;
  }
}
