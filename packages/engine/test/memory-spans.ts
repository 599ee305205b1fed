import type { Clock, OpenSpan, SpanAttributes, Spans } from "@trivet/engine";
import type { TraceContext } from "@trivet/wire";

export interface EndedSpan {
  readonly name: string;
  readonly trace: TraceContext;
  readonly parent: string;
  readonly attributes: SpanAttributes;
  readonly events: readonly string[];
  readonly fault: string | null;
}

/** Keeps the spans of one node that have ended. */
export class MemorySpans implements Spans {
  isOn = true;
  readonly ended: EndedSpan[] = [];
  private active: TraceContext | null = null;
  private last = 0;
  private readonly node: number;

  /** `node`: so that no two have the same ids. */
  constructor(node: number) {
    this.node = node;
  }

  current(): TraceContext | null {
    return this.active;
  }

  begin(name: string, parent: TraceContext, attributes: SpanAttributes): OpenSpan {
    const trace = { ...parent, spanId: (this.node * 0x1_0000_0000 + ++this.last).toString(16).padStart(16, "0") };
    const events: string[] = [];
    let isOver = false;
    return {
      trace,
      event: (event) => void events.push(event),
      end: (told, fault) => {
        if (isOver) throw new Error(`the span ${name} ended twice`);
        isOver = true;
        this.ended.push({ name, trace, parent: parent.spanId, attributes: { ...attributes, ...told }, events, fault });
      },
    };
  }

  within<T>(trace: TraceContext | null, run: () => T): T {
    const before = this.active;
    this.active = trace;
    try {
      return run();
    } finally {
      this.active = before;
    }
  }

  /** What is run later by this clock belongs where it was asked for, as on a node. */
  tie(clock: Pick<Clock, "defer" | "schedule">): void {
    const bound = (run: () => void): (() => void) => {
      const { active } = this;
      return () => (this.isOn ? this.within(active, run) : run());
    };
    const [defer, schedule] = [clock.defer.bind(clock), clock.schedule.bind(clock)];
    clock.defer = (run) => defer(bound(run));
    clock.schedule = (delayMs, run) => schedule(delayMs, bound(run));
  }

  named(name: string): readonly EndedSpan[] {
    return this.ended.filter((span) => span.name === name);
  }
}

/** The trace of a caller. */
export const callersTrace: TraceContext = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  flags: 1,
  state: "",
};
