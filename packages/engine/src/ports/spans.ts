import type { TraceContext } from "@trivet/wire";

export type SpanAttributes = Readonly<Record<string, string | number>>;

/** A part of a trace that is under way. */
export interface OpenSpan {
  readonly trace: TraceContext;
  /** Something on the way, at this time. */
  event(name: string, attributes: SpanAttributes): void;
  /** `fault`: why what it is about failed; null = it did not. */
  end(attributes: SpanAttributes, fault: string | null): void;
}

/** Spans out of the engine (docs/decisions/0034-spans-of-streams.md). Implementations must not throw. */
export interface Spans {
  /** Somebody records them. While it is false nothing else of this is asked, and nothing is made for it. */
  readonly isOn: boolean;
  /** Which trace what runs now belongs to; null = none. */
  current(): TraceContext | null;
  /** Null = this one is not recorded. */
  begin(name: string, parent: TraceContext, attributes: SpanAttributes): OpenSpan | null;
  /** Runs what belongs to the trace; null = to none. */
  within<T>(trace: TraceContext | null, run: () => T): T;
}

export const noSpans: Spans = {
  isOn: false,
  current: () => null,
  begin: () => null,
  within: (_trace, run) => run(),
};
